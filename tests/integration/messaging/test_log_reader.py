"""Following the log on a real broker that is killed."""

import asyncio
import uuid

import pytest

import tollgate.messaging.log_reader
from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tollgate.contract.codec import encode
from tollgate.contract.events import LedgerPurged, PaymentRequested
from tollgate.contract.subjects import PURGED, REQUESTED, STREAM
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.log_reader import LogMessage, LogReader


async def append_requests(log: Log, count: int) -> None:
    for _ in range(0, count, 100):
        events = [PaymentRequested(str(uuid.uuid4()), 1, 0) for _ in range(min(count, 100))]
        await asyncio.gather(*(log.append(event, timeout_seconds=10) for event in events))


async def read_up_to(reader: LogReader, sequence: int) -> list[LogMessage]:
    messages: list[LogMessage] = []
    async with asyncio.timeout(20):
        while not messages or messages[-1].sequence < sequence:
            messages += await reader.batch(1_000)
    return messages


async def test_the_log_is_read_in_order_from_the_asked_sequence_on(log: Log, broker: Broker) -> None:
    await append_requests(log, 300)
    async with LogReader(broker, 101) as reader:
        messages = await read_up_to(reader, 300)
        assert [message.sequence for message in messages] == list(range(101, 301))
        assert messages[-1].pending == 0
        await append_requests(log, 100)
        assert [message.sequence for message in await read_up_to(reader, 400)] == list(range(301, 401))


async def test_subjects_can_be_left_out(log: Log, broker: Broker) -> None:
    requested = PaymentRequested(str(uuid.uuid4()), 1, 0)
    await log.append(requested, timeout_seconds=2)
    await log.append(LedgerPurged("test", 0), timeout_seconds=2)
    async with LogReader(broker, 1, subjects=(REQUESTED,)) as reader:
        (message,) = await reader.batch(10)
        assert (message.subject, message.payload) == (REQUESTED, encode(requested))
    async with LogReader(broker, 1, subjects=(PURGED,)) as reader:
        assert [message.subject for message in await reader.batch(10)] == [PURGED]


async def test_nothing_is_missed_or_repeated_when_the_broker_is_killed(
    log: Log, broker: Broker, nats_server: NatsServer
) -> None:
    async with LogReader(broker, 1) as reader:
        await append_requests(log, 500)
        first = await reader.batch(100)
        for _ in range(2):
            nats_server.kill()
            nats_server.start()
            await append_requests(log, 200)
        messages = first + await read_up_to(reader, 900)
        assert [message.sequence for message in messages] == list(range(1, 901))


async def test_a_consumer_that_the_broker_lost_is_created_anew(
    log: Log, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tollgate.messaging.log_reader, "SILENCE_SECONDS_MAX", 1.2)
    async with LogReader(broker, 1) as reader:
        await append_requests(log, 100)
        await read_up_to(reader, 100)
        answer = await broker.request(f"$JS.API.CONSUMER.NAMES.{STREAM}", b"", timeout_seconds=2)
        for name in answer["consumers"]:
            await broker.request(f"$JS.API.CONSUMER.DELETE.{STREAM}.{name}", b"", timeout_seconds=2)
        await append_requests(log, 100)
        assert [message.sequence for message in await read_up_to(reader, 200)] == list(range(101, 201))


@pytest.mark.parametrize(
    ("bound", "messages_max", "bytes_max"),
    [
        ({"BUFFERED_MESSAGES_MAX": 100}, 100, 1_000_000),
        ({"BUFFERED_BYTES_MAX": 15_000}, 1_000, 15_500),
        ({"BATCH_BYTES_MAX": 1_000}, 1_000, 1_500),
    ],
)
async def test_a_slow_reader_holds_the_broker_back_and_misses_nothing(
    log: Log, broker: Broker, bound: dict[str, int], messages_max: int, bytes_max: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**bound, "SILENCE_SECONDS_MAX": 0.5}.items():
            patch.setattr(tollgate.messaging.log_reader, name, value)
        await append_requests(log, 3_000)
        async with LogReader(broker, 1) as reader:
            messages: list[LogMessage] = []
            while not messages or messages[-1].sequence < 3_000:
                batch = await reader.batch(1_000)
                assert len(batch) <= messages_max
                assert sum(len(message.payload) for message in batch) <= bytes_max
                messages += batch
            assert [message.sequence for message in messages] == list(range(1, 3_001))


async def test_the_reader_knows_whether_it_is_current(log: Log, broker: Broker, nats_server: NatsServer) -> None:
    loop = asyncio.get_running_loop()
    async with LogReader(broker, 1) as reader:

        async def is_current() -> bool:
            return loop.time() - reader.current_at < 1.5

        await eventually(is_current, what="current on an empty log, by heartbeats")
        await append_requests(log, 100)
        await read_up_to(reader, 100)
        assert await is_current()
        nats_server.kill()

        async def is_stale() -> bool:
            return not await is_current()

        await eventually(is_stale, what="stale without a broker")
        nats_server.start()
        await eventually(is_current, what="current again")


async def test_a_caller_that_waits_for_messages_gets_the_error_that_ended_reading(
    log: Log, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: LogReader, _generation: int) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(LogReader, "_consumer", fail)
    async with LogReader(broker, 1) as reader:
        with pytest.raises(RuntimeError, match="unforeseen"):
            async with asyncio.timeout(5):
                await reader.batch(1)
