"""Appending to the log, on a real broker."""

import asyncio
import uuid
from pathlib import Path

import pytest

from tests.support.nats_server import NatsServer
from tollgate.contract.batch import EVENTS_MAX, split
from tollgate.contract.codec import decode
from tollgate.contract.events import LedgerPurged, PaymentRequested, PaymentRouted
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import message_at
from tollgate.messaging.log import Log, LogLimits
from tollgate.runtime.errors import BrokerUnavailableError, LogFullError


def request(amount_cents: int = 1990, correlation_id: str | None = None) -> PaymentRequested:
    return PaymentRequested(correlation_id or str(uuid.uuid4()), amount_cents, 1_700_000_000_000_000)


async def test_an_appended_event_can_be_read_back_at_its_sequence(log: Log) -> None:
    event = request()
    appended = await log.append(event, timeout_seconds=2)
    assert appended.existing is None
    assert await log.event_at(appended.sequence, deadline=asyncio.get_running_loop().time() + 2) == event


async def test_a_repeat_is_answered_with_the_first_event_and_stores_nothing(log: Log, broker: Broker) -> None:
    first = request(1990)
    sequence = (await log.append(first, timeout_seconds=2)).sequence
    repeat = await log.append(request(500, first.correlation_id), timeout_seconds=2)
    assert (repeat.sequence, repeat.existing) == (sequence, first)
    assert (await broker.log_state(timeout_seconds=2)).last_sequence == sequence


async def test_an_id_that_was_purged_is_stored_anew_and_only_once(log: Log, broker: Broker) -> None:
    event = request()
    await log.append(event, timeout_seconds=2)
    purged = await log.append(LedgerPurged("test", 0), timeout_seconds=2)
    await log.purge_before(purged.sequence, timeout_seconds=2)

    appended = await log.append(event, timeout_seconds=2)
    assert appended.existing is None, "the broker remembers the id, yet the event was gone"
    assert appended.sequence > purged.sequence
    assert (await log.append(event, timeout_seconds=2)).sequence == appended.sequence
    assert (await broker.log_state(timeout_seconds=2)).last_sequence == appended.sequence


async def test_appending_waits_for_a_broker_that_comes_back_in_time(log: Log, nats_server: NatsServer) -> None:
    await log.append(request(), timeout_seconds=2)
    nats_server.kill()
    appending = asyncio.create_task(log.append(request(), timeout_seconds=10))
    await asyncio.wait((appending,), timeout=0.2)
    assert not appending.done()
    nats_server.start()
    assert (await appending).existing is None


async def test_an_acknowledged_event_survives_sigkill_of_the_broker(log: Log, nats_server: NatsServer) -> None:
    events = [request() for _ in range(200)]
    appended = await asyncio.gather(*(log.append(event, timeout_seconds=5) for event in events))
    nats_server.kill()
    nats_server.start()
    deadline = asyncio.get_running_loop().time() + 10
    assert [await log.event_at(one.sequence, deadline=deadline) for one in appended] == events


async def test_events_that_are_appended_together_share_a_message_that_survives_sigkill_of_the_broker(
    log: Log, broker: Broker, nats_server: NatsServer
) -> None:
    intents = [PaymentRouted(str(uuid.uuid4()), 1990, 1, "default", 1, "why") for _ in range(EVENTS_MAX)]
    before = (await broker.log_state(timeout_seconds=2)).last_sequence
    sequence = await log.append_together(intents, timeout_seconds=2)
    assert sequence == before + 1
    nats_server.kill()
    nats_server.start()
    message = await message_at(broker, sequence)
    assert message is not None
    assert message.subject == "payments.routed.default"
    assert [decode(event) for event in split(message.payload)] == intents


async def test_the_same_events_again_are_a_message_of_their_own(log: Log) -> None:
    intents = [PaymentRouted(str(uuid.uuid4()), 1990, 1, "default", 1, "why") for _ in range(2)]
    first, second = [await log.append_together(intents, timeout_seconds=2) for _ in range(2)]
    assert second == first + 1


async def test_without_a_broker_appending_gives_up_at_its_bound(log: Log, nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(BrokerUnavailableError):
        await log.append(request(), timeout_seconds=0.3)


async def test_a_full_log_refuses_the_newest_event_and_keeps_the_oldest(broker: Broker) -> None:
    log = Log(broker)
    await log.ensure(LogLimits(bytes_max=20_000))
    first = request()
    sequence = (await log.append(first, timeout_seconds=2)).sequence
    with pytest.raises(LogFullError):
        for _ in range(1_000):
            await log.append(request(), timeout_seconds=2)
    assert await log.event_at(sequence, deadline=asyncio.get_running_loop().time() + 2) == first


async def test_a_full_store_is_an_error_of_its_own(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "small", limits=", max_file_store: 30000") as server:
        await server.ready()
        async with Broker(server.url, name="test") as broker:
            log = Log(broker)
            await log.ensure(LogLimits())
            with pytest.raises(LogFullError):
                for _ in range(1_000):
                    await log.append(request(), timeout_seconds=2)


async def test_the_definition_of_an_existing_log_is_brought_up_to_date(log: Log, broker: Broker) -> None:
    await log.ensure(LogLimits(duplicate_window_seconds=7))
    info = await broker.request("$JS.API.STREAM.INFO.PAYMENTS", b"", timeout_seconds=2)
    assert info["config"]["duplicate_window"] == 7_000_000_000


async def test_the_first_caller_creates_the_log(broker: Broker) -> None:
    await asyncio.gather(*(Log(broker).ensure(LogLimits()) for _ in range(5)))
