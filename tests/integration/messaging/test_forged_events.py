"""Events under a wrong subject, published by each user that may publish there: every reader sets them aside."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import duckdb
import pytest
import pytest_asyncio

from qa.chaos.evidence import LogTap
from tests.support.conditions import eventually
from tests.support.nats_server import GuardedNatsServer
from tests.support.services import Projector
from tollgate.archive.whole_log import WholeLog
from tollgate.contract.codec import encode
from tollgate.contract.events import (
    PROVIDERS,
    Event,
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.payment_state import Ended, Unrouted
from tollgate.contract.read_model_api import Total
from tollgate.contract.subjects import subject_of
from tollgate.contract.timestamps import now_us
from tollgate.gateway.dedup import DedupIndex
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.ops.backup import account_of
from tollgate.ops.log_view import Choice, Entry, _chosen
from tollgate.processor.charging.histories import Histories
from tollgate.processor.charging.state_cache import StateCache
from tollgate.processor.charging.state_follower import Follower
from tollgate.projector.rebuild.builder import build
from tollgate.runtime.bloom_set import BloomSet
from tollgate.runtime.id_filter import IdFilter
from tollgate.runtime.tasks import end

SETTLED, OPEN, UNKNOWN = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
GENUINE = 4
"""Messages before the first that is forged."""
WRITERS = {"payments.requested": "gateway", "payments.purged": "gateway"}
"""Of all other subjects: the processor."""


def genuine() -> list[Event]:
    return [
        PaymentRequested(SETTLED, 1990, now_us()),
        PaymentRequested(OPEN, 500, now_us()),
        PaymentRouted(SETTLED, 1990, 1, "default", now_us(), "why"),
        PaymentProcessed(SETTLED, 1990, 1, "default", 1, 2),
    ]


def forged() -> list[tuple[str, Event]]:
    """Every event of every payment under every subject but its own."""
    events: list[Event] = [LedgerPurged("nobody", now_us())]
    for payment in (SETTLED, OPEN, UNKNOWN):
        events += [PaymentRequested(payment, 7, now_us()), PaymentRejected(payment, 7, "forged", 1)]
        for name in PROVIDERS:
            events += [
                PaymentRouted(payment, 7, 1, name, now_us(), "forged"),
                PaymentInDoubt(payment, 1, name, "forged"),
                PaymentReleased(payment, 1, name, "forged"),
                PaymentProcessed(payment, 7, 1, name, 1, 2),
            ]
    subjects = {subject_of(event) for event in events}
    return [(subject, event) for subject in sorted(subjects) for event in events if subject_of(event) != subject]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedNatsServer]:
    folder = tmp_path_factory.mktemp("forged")
    with (
        GuardedNatsServer(folder / "nats", config="nats-purge.conf") as server,
        Projector(server.url("projector"), folder),
    ):
        await server.ready()
        async with (
            Broker(server.url("gateway"), name="gateway") as gateway,
            Broker(server.url("processor"), name="processor") as processor,
        ):
            writers = {"gateway": gateway, "processor": processor}
            await Log(gateway).wait_until_exists()
            for event in genuine():
                writer = writers[WRITERS.get(subject_of(event), "processor")]
                await Log(writer).append(event, timeout_seconds=5)
            for subject, event in forged():
                await writers[WRITERS.get(subject, "processor")].ask(subject, encode(event), timeout_seconds=5)
        yield server


Reader = Callable[[GuardedNatsServer, Path], Awaitable[object]]


async def the_projector(server: GuardedNatsServer, _: Path) -> object:
    async with Broker(server.url("processor"), name="processor") as broker:
        model = ReadModel(broker)

        async def answers() -> bool:
            try:
                await model.charging(timeout_seconds=5)
            except ReadModelUnavailableError:
                return False
            return True

        await eventually(answers, what="the projector answers")
        charging = await model.charging(timeout_seconds=5)
        unknown = await model.payment(UNKNOWN, timeout_seconds=5)
        return charging.totals["default"], charging.totals["fallback"], charging.pending, charging.routed, unknown


async def a_rebuild(server: GuardedNatsServer, folder: Path) -> object:
    async with Broker(server.url("projector"), name="projector") as broker:
        identity = (await broker.log_state(timeout_seconds=5)).identity
        async with Broker(server.url("projector"), name="projector") as reading:
            built = await build(reading, folder / "model.duckdb", identity, lambda *_: None)
    with duckdb.connect(str(folder / "model.duckdb")) as connection:
        rows = connection.execute("SELECT correlation_id::VARCHAR, amount_cents, sequences FROM settled").fetchall()
        rejected = connection.execute("SELECT count(*) FROM rejected").fetchall()
    return rows, rejected, built.poison_events


async def a_backup(server: GuardedNatsServer, _: Path) -> object:
    async with Broker(server.url("operator"), name="operator") as broker:
        last = (await broker.log_state(timeout_seconds=5)).last_sequence
        account = await account_of(WholeLog(broker), 1, last)
        return account.settled, account.rejected, account.open, account.set_aside


async def the_log_view(server: GuardedNatsServer, _: Path) -> object:
    async with Broker(server.url("operator"), name="operator") as broker:
        shown: list[Entry] = [one async for one in _chosen(WholeLog(broker), Choice(from_sequence=1))]
        return [type(one.found).__name__ for one in shown]


async def the_journal_of_a_processor(server: GuardedNatsServer, _: Path) -> object:
    async with Broker(server.url("processor"), name="processor") as broker:
        follower = Follower(broker, StateCache(1, BloomSet()))
        running = asyncio.ensure_future(follower.run())
        last = (await broker.log_state(timeout_seconds=5)).last_sequence
        # It leaves requests out, and the last message is none.
        await follower.reached(last, timeout_seconds=20)
        await end(running)
        return follower.state_cache.payment_state(SETTLED, 1), follower.state_cache.payment_state(OPEN, 2)


async def a_history(server: GuardedNatsServer, _: Path) -> object:
    async with Broker(server.url("processor"), name="processor") as broker:
        histories = Histories(broker, ReadModel(broker))
        return [(await histories.of(one, 1)).payment_state for one in (SETTLED, OPEN, UNKNOWN)]


async def single_events(server: GuardedNatsServer, _: Path) -> object:
    async with Broker(server.url("gateway"), name="gateway") as broker:
        log = Log(broker)
        last = (await broker.log_state(timeout_seconds=5)).last_sequence
        deadline = asyncio.get_running_loop().time() + 30
        forged_ones = range(GENUINE + 1, last + 1)
        return {
            await log.event_of(payment, one, deadline=deadline)
            for one in forged_ones
            for payment in (SETTLED, OPEN, UNKNOWN)
        } | {await log.event_at(one, deadline=deadline) for one in forged_ones}


async def a_gateway(server: GuardedNatsServer, _: Path) -> object:
    async with Broker(server.url("gateway"), name="gateway") as broker:
        known_ids = IdFilter(1 << 16)
        dedup_index = DedupIndex(broker, known_ids)
        running = asyncio.ensure_future(dedup_index.run())

        async def is_started() -> bool:
            return bool(dedup_index.is_started)

        await eventually(is_started, what="the gateway has read the log")
        await end(running)
        # An id in a forged message may be in the set, too; it costs a lookup, which finds nothing.
        return SETTLED in known_ids, OPEN in known_ids


async def the_evidence_of_chaos(server: GuardedNatsServer, _: Path) -> object:
    async with LogTap(server.url("operator")) as tap:
        await tap.catch_up()
        return [type(one.event).__name__ for one in tap.events], len(tap.poison)


COUNT = len(forged())
NAMES = [type(event).__name__ for event in genuine()]
READERS: list[tuple[Reader, object]] = [
    (the_projector, (Total(1, 1990), Total(0, 0), 1, 0, None)),
    (a_rebuild, ([(SETTLED, 1990, [1, 3, 4])], [(0,)], COUNT)),
    (a_backup, ({"default": Total(1, 1990), "fallback": Total(0, 0)}, 0, 1, COUNT)),
    (the_log_view, [*NAMES, *["Malformed"] * COUNT]),
    (the_journal_of_a_processor, (Ended(), Unrouted())),
    (a_history, [Ended(), Unrouted(), Unrouted()]),
    (single_events, {None}),
    (a_gateway, (True, True)),
    (the_evidence_of_chaos, (NAMES, COUNT)),
]


@pytest.mark.parametrize(("reader", "expected"), READERS, ids=[reader.__name__ for reader, _ in READERS])
async def test_a_forged_event_changes_nothing_for(
    reader: Reader, expected: object, server: GuardedNatsServer, tmp_path: Path
) -> None:
    assert COUNT > 200
    assert await reader(server, tmp_path) == expected
