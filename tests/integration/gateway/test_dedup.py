"""The dedup index follows the log of a real broker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.conditions import eventually
from tollgate.contract.events import Event, LedgerPurged, PaymentReleased, PaymentRequested
from tollgate.contract.subjects import STREAM
from tollgate.gateway.dedup import DedupIndex
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.runtime.errors import FatalError
from tollgate.runtime.id_filter import IdFilter
from tollgate.runtime.tasks import end


def requested() -> PaymentRequested:
    return PaymentRequested(str(uuid.uuid4()), 1990, 1_750_000_000_000_000)


async def store(log: Log, *events: Event) -> None:
    for event in events:
        await log.append(event, timeout_seconds=5)


@asynccontextmanager
async def following(dedup_index: DedupIndex) -> AsyncIterator[asyncio.Future[None]]:
    running = asyncio.ensure_future(dedup_index.run())
    try:
        yield running
    finally:
        await end(running)


def has_read(dedup_index: DedupIndex, sequence: int) -> Callable[[], Awaitable[bool]]:
    async def is_there() -> bool:
        return dedup_index.last_sequence >= sequence

    return is_there


async def test_requests_are_followed_and_other_events_are_not(log: Log, broker: Broker) -> None:
    first, second = requested(), requested()
    await store(log, first, PaymentReleased(str(uuid.uuid4()), 1, "default", "a test"))
    dedup_index = DedupIndex(broker, IdFilter(1 << 16))
    async with following(dedup_index):
        await dedup_index.looked(timeout_seconds=10)
        assert dedup_index.is_current
        assert (dedup_index.last_sequence, dedup_index.sequence_of(first.correlation_id)) == (1, 1)
        assert second.correlation_id not in dedup_index
        await store(log, second)
        await eventually(has_read(dedup_index, 3), what="the second request is read")
        assert second.correlation_id in dedup_index
        assert dedup_index.sequence_of(second.correlation_id) == 3


async def test_all_ids_of_a_group_are_read(log: Log, broker: Broker) -> None:
    group = [requested() for _ in range(32)]
    await log.append_requests(group, after=0, timeout_seconds=5)
    dedup_index = DedupIndex(broker, IdFilter(1 << 16))
    async with following(dedup_index):
        await dedup_index.looked(timeout_seconds=10)
        assert {dedup_index.sequence_of(one.correlation_id) for one in group} == {1}


async def test_a_purge_clears_what_was_before_it_and_keeps_what_is_after(log: Log, broker: Broker) -> None:
    before, after = requested(), requested()
    await store(log, before)
    dedup_index = DedupIndex(broker, IdFilter(1 << 16))
    async with following(dedup_index):
        await dedup_index.looked(timeout_seconds=10)
        await store(log, LedgerPurged("a test", 1), after)
        # As if this gateway had stored it itself, and had not read the purge yet.
        dedup_index.note_stored(1, 3, [after.correlation_id])

        async def has_read_the_purge() -> bool:
            is_read = dedup_index.last_sequence == 3 and after.correlation_id in dedup_index
            return is_read and before.correlation_id not in dedup_index

        await eventually(has_read_the_purge, what="the purge is read, and what came after it")


async def test_a_log_that_takes_the_place_of_another_is_not_taken_for_it(log: Log, broker: Broker) -> None:
    await store(log, requested(), requested())
    dedup_index = DedupIndex(broker, IdFilter(1 << 16))
    async with following(dedup_index) as running:
        await dedup_index.looked(timeout_seconds=10)
        await broker.request(f"$JS.API.STREAM.DELETE.{STREAM}", b"", timeout_seconds=5)
        await log.ensure(LogLimits())
        with pytest.raises(FatalError, match="replaced by another"):
            async with asyncio.timeout(20):
                await running
