"""The dedup index follows the log of a real broker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from nats.aio.msg import Msg

from tests.support.conditions import eventually
from tollgate.contract.events import Event, PaymentReleased, PaymentRequested
from tollgate.contract.subjects import STREAM
from tollgate.gateway.dedup import DedupIndex
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.runtime.bloom_set import BloomSet
from tollgate.runtime.errors import FatalError
from tollgate.runtime.tasks import end

OUTCOMES = 100


def requested() -> PaymentRequested:
    return PaymentRequested(str(uuid.uuid4()), 1990, 1_750_000_000_000_000)


async def store(log: Log, *events: Event) -> None:
    await asyncio.gather(*(log.append(event, timeout_seconds=5) for event in events))


@asynccontextmanager
async def following(dedup_index: DedupIndex) -> AsyncIterator[asyncio.Future[None]]:
    running = asyncio.ensure_future(dedup_index.run())
    try:
        yield running
    finally:
        await end(running)


def has(known_ids: BloomSet, event: PaymentRequested) -> Callable[[], Awaitable[bool]]:
    async def is_seen() -> bool:
        return event.correlation_id in known_ids

    return is_seen


def has_looked(dedup_index: DedupIndex, sequence: int) -> Callable[[], Awaitable[bool]]:
    async def is_there() -> bool:
        return dedup_index.position >= sequence

    return is_there


async def test_only_requests_are_read_however_much_else_comes(log: Log, broker: Broker) -> None:
    begun_at: list[int] = []

    async def on_create(request: Msg) -> None:
        begun_at.append(orjson.loads(request.data)["config"]["opt_start_seq"])

    await broker.client.subscribe(f"$JS.API.CONSUMER.CREATE.{STREAM}.>", cb=on_create)
    first, second = requested(), requested()
    await store(log, first)
    known_ids = BloomSet()
    dedup_index = DedupIndex(broker, known_ids, lag_seconds_max=15)
    async with following(dedup_index):
        await dedup_index.looked(timeout_seconds=10)
        assert first.correlation_id in known_ids
        assert dedup_index.is_current
        for number in range(1, 4):
            await store(log, *(PaymentReleased(str(uuid.uuid4()), 1, "default", "a test") for _ in range(OUTCOMES)))
            await eventually(has_looked(dedup_index, 1 + number * OUTCOMES), what="it has looked at the log again")
        assert begun_at == [1]
        await store(log, second)
        await eventually(has(known_ids, second), what="the second request is in the index")
    assert begun_at == [1, 2]


async def test_a_log_that_takes_the_place_of_another_is_not_taken_for_it(log: Log, broker: Broker) -> None:
    await store(log, requested(), requested())
    dedup_index = DedupIndex(broker, BloomSet(), lag_seconds_max=15)
    async with following(dedup_index) as running:
        await dedup_index.looked(timeout_seconds=10)
        await broker.request(f"$JS.API.STREAM.DELETE.{STREAM}", b"", timeout_seconds=5)
        await log.ensure(LogLimits())
        with pytest.raises(FatalError, match="replaced by another"):
            async with asyncio.timeout(20):
                await running
