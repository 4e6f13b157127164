"""A gateway starts from the projector's filter, and reads the log where it must not be trusted."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.services import Projector
from tollgate.contract.events import Event, LedgerPurged, PaymentProcessed, PaymentRejected, PaymentRequested
from tollgate.contract.known_filter import FilterPart, PartQuestion
from tollgate.gateway import dedup
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.filter_start import load_filter
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.runtime.id_filter import BYTES_IN_MB, IdFilter
from tollgate.runtime.tasks import end

SIZE = BYTES_IN_MB


class SpoiltReadModel(ReadModel):
    """Changes the parts on their way."""

    def __init__(self, broker: Broker, spoil: Callable[[FilterPart], FilterPart]) -> None:
        super().__init__(broker)
        self._spoil = spoil

    async def known_filter_part(self, question: PartQuestion, *, timeout_seconds: float) -> FilterPart:
        return self._spoil(await super().known_filter_part(question, timeout_seconds=timeout_seconds))


def torn(part: FilterPart) -> FilterPart:
    return replace(part, bits=part.bits[:100])


def of_another_log(part: FilterPart) -> FilterPart:
    return replace(part, mark=replace(part.mark, identity="another"))


def of_a_log_that_went_back(part: FilterPart) -> FilterPart:
    return replace(part, mark=replace(part.mark, sequence=part.mark.sequence - 1, end=part.mark.sequence - 1))


def made_anew_meanwhile(part: FilterPart) -> FilterPart:
    return replace(part, generation=f"{part.begin}")


@pytest.fixture(autouse=True)
def _long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every log counts as long."""
    monkeypatch.setattr(dedup, "READ_MESSAGES_MAX", 0)


@asynccontextmanager
async def started(broker: Broker, read_model: ReadModel) -> AsyncIterator[DedupIndex]:
    ids = IdFilter(SIZE)
    index = DedupIndex(broker, ids, load=partial(load_filter, broker, read_model))
    running = asyncio.ensure_future(index.run())
    try:
        await index.looked(timeout_seconds=20)
        assert index.is_current
        yield index
    finally:
        await end(running)


async def gives_its_filter(broker: Broker) -> bool:
    try:
        await ReadModel(broker).known_filter_part(PartQuestion(0, SIZE), timeout_seconds=1)
    except ReadModelUnavailableError:
        return False
    return True


async def none_known(index: DedupIndex, ids: list[str]) -> bool:
    return not any(one in index for one in ids)


def events() -> tuple[list[str], list[Event]]:
    """A payment that was processed, one that was rejected, and one that is open."""
    processed, rejected, pending = ids = [str(uuid.uuid4()) for _ in range(3)]
    return ids, [
        PaymentRequested(processed, 1, 1),
        PaymentProcessed(processed, 1, 1, "default", 1, 2),
        PaymentRequested(pending, 1, 1),
        PaymentRequested(rejected, 1, 1),
        PaymentRejected(rejected, 1, "a test"),
    ]


async def store(log: Log, events: list[Event]) -> None:
    for event in events:
        await log.append(event, timeout_seconds=5)


async def test_all_ids_are_known_from_the_filter_through_restarts_and_purges(
    nats_server: NatsServer, log: Log, broker: Broker, tmp_path: Path
) -> None:
    ids, first = events()
    await store(log, first)
    unknown = [str(uuid.uuid4()) for _ in range(50)]
    # The second start of the projector is from its saved filter, the third after SIGKILL, without one.
    metrics_port = str(free_port())
    for way in ("first", "saved", "killed"):
        with Projector(nats_server.url, tmp_path, KNOWN_IDS_FILTER_MB="1", METRICS_PORT=metrics_port) as projector:
            await eventually(lambda: gives_its_filter(broker), what=f"the projector gives its filter, {way}")
            async with started(broker, ReadModel(broker)) as index:
                end_of_log = (await broker.log_state(timeout_seconds=5)).last_sequence
                assert index.recent_from == index.last_sequence == end_of_log, way
                assert all(one in index for one in ids)
                assert not any(one in index for one in unknown)
                assert not any(index.sequence_of(one) for one in ids)
                more, further = events()
                await store(log, further)
                ids += more
                await index.reached((await last_request(log)), deadline=asyncio.get_running_loop().time() + 10)
                assert all(index.sequence_of(one) for one in more)
            assert await questions_for_parts(metrics_port) > 0, "each question is counted"
            if way == "saved":
                projector.kill()
                (tmp_path / "projector" / "model.duckdb.filter").unlink()
            else:
                projector.stop()
    await log.append(LedgerPurged("a test", 1), timeout_seconds=5)
    more, further = events()
    await store(log, further)
    with Projector(nats_server.url, tmp_path, KNOWN_IDS_FILTER_MB="1"):
        await eventually(lambda: gives_its_filter(broker), what="the projector gives its filter")
        async with started(broker, ReadModel(broker)) as index:
            assert all(one in index for one in more)
            assert not any(one in index for one in ids)


async def questions_for_parts(metrics_port: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{metrics_port}/metrics") as answer:
        counted = re.search(r'question_duration_seconds_count\{question="known_filter"\} (\S+)', await answer.text())
    assert counted is not None
    return float(counted[1])


async def last_request(log: Log) -> int:
    return await log.last_sequence_of("payments.requested", timeout_seconds=5)


async def test_where_the_filter_is_doubtful_the_log_is_read(
    nats_server: NatsServer, log: Log, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, first = events()
    await store(log, first)
    with Projector(nats_server.url, tmp_path, KNOWN_IDS_FILTER_MB="1"):
        await eventually(lambda: gives_its_filter(broker), what="the projector gives its filter")
        for spoil in (torn, of_another_log, of_a_log_that_went_back, made_anew_meanwhile):
            async with started(broker, SpoiltReadModel(broker, spoil)) as index:
                assert all(index.sequence_of(one) for one in ids), spoil.__name__
        other_size = IdFilter(2 * SIZE)
        index = DedupIndex(broker, other_size, load=partial(load_filter, broker, ReadModel(broker)))
        await index._start_from_filter()
        assert index.last_sequence == 0
    monkeypatch.setattr(dedup, "FILTER_SECONDS_MAX", 0.5)
    async with started(broker, ReadModel(broker)) as index:
        assert all(index.sequence_of(one) for one in ids), "without a projector"


async def test_a_long_log_is_not_read_without_a_filter_and_each_payment_is_looked_up_until_there_is_one(
    nats_server: NatsServer, log: Log, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedup, "READ_ANYWAY_MESSAGES_MAX", 0)
    monkeypatch.setattr(dedup, "FILTER_SECONDS_MAX", 0.3)
    monkeypatch.setattr(dedup, "FILTER_RETRY_SECONDS", 0.1)
    ids, first = events()
    await store(log, first)
    unknown = [str(uuid.uuid4()) for _ in range(50)]
    async with started(broker, ReadModel(broker)) as index:
        assert all(one in index for one in (*ids, *unknown))
        assert not any(index.sequence_of(one) for one in ids)
        more, further = events()
        await store(log, further)
        await index.reached((await last_request(log)), deadline=asyncio.get_running_loop().time() + 10)
        assert all(index.sequence_of(one) for one in more)
        with Projector(nats_server.url, tmp_path, KNOWN_IDS_FILTER_MB="1"):
            await eventually(lambda: none_known(index, unknown), what="the filter is loaded")
            assert all(one in index for one in (*ids, *more))
            await log.append(LedgerPurged("a test", 1), timeout_seconds=5)
            await eventually(lambda: none_known(index, ids), what="the purge is noticed")
