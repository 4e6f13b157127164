"""A processor's start and its backlog cost what is open, whatever else was ever stored: real broker and read model."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Projector
from tollgate.contract.batch import EVENTS_MAX, join
from tollgate.contract.codec import encode
from tollgate.contract.events import Event, PaymentInDoubt, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.known_ids import Known
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted
from tollgate.contract.subjects import subject_of
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.processor.charging.histories import Histories
from tollgate.processor.charging.history import History
from tollgate.processor.charging.lookups import Lookups
from tollgate.processor.charging.payment_states import PaymentStates
from tollgate.processor.charging.start import begin
from tollgate.processor.charging.state_cache import Forgotten, StateCache
from tollgate.processor.charging.state_follower import Follower

RECENT_MESSAGES = 20
"""Messages that a start reads; the product has 20,000."""
SMALL = {"ended_max": 20, "doubts_max": 5, "adopted_max": 50, "forgotten_max": 100}


class Everything:
    """A set of dropped ids that may hold any id."""

    def add(self, correlation_id: str, /) -> None: ...

    def clear(self) -> None: ...

    def __contains__(self, correlation_id: object, /) -> bool:
        return True


class CountedReadModel:
    """The real read model; counts the questions."""

    def __init__(self, broker: Broker) -> None:
        self._read_model = ReadModel(broker)
        self.questions = 0

    async def known(self, correlation_ids: Sequence[str], *, timeout_seconds: float, up_to: int | None = None) -> Known:
        self.questions += 1
        return await self._read_model.known(correlation_ids, timeout_seconds=timeout_seconds, up_to=up_to)


class NoReadModel:
    """A read model that is away."""

    async def known(self, correlation_ids: Sequence[str], *, timeout_seconds: float, up_to: int | None = None) -> Known:
        raise ReadModelUnavailableError(f"{len(correlation_ids)} ids, {up_to}, {timeout_seconds} s")


async def store(broker: Broker, events: Sequence[Event]) -> list[int]:
    """Stores the events, many to a message, and several messages at once. Returns the sequence of each event."""
    groups = [events[first : first + EVENTS_MAX] for first in range(0, len(events), EVENTS_MAX)]

    async def together(group: Sequence[Event]) -> list[int]:
        return [await Log(broker).append_together(group, timeout_seconds=30)] * len(group)

    return [one for group in await asyncio.gather(*map(together, groups)) for one in group]


async def one_by_one(broker: Broker, *events: Event) -> list[int]:
    sequences = []
    for event in events:
        reply = await broker.ask(subject_of(event), join([encode(event)]), timeout_seconds=10)
        sequences.append(int(reply.data.split(b'"seq":')[1].split(b",")[0].rstrip(b"}")))
    return sequences


async def end(broker: Broker, ids: Sequence[str]) -> None:
    stamp_us = now_us()
    await store(broker, [PaymentRouted(one, 5, 1, "default", stamp_us, "test") for one in ids])
    await store(broker, [PaymentProcessed(one, 5, 1, "default", stamp_us, stamp_us + 5) for one in ids])


async def request(broker: Broker, count: int) -> dict[str, int]:
    """New payments, and the sequences of their requests."""
    ids = [str(uuid4()) for _ in range(count)]
    stamp_us = now_us()
    return dict(zip(ids, await store(broker, [PaymentRequested(one, 5, stamp_us) for one in ids]), strict=True))


@pytest.fixture
async def projector(nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path) -> AsyncIterator[Projector]:
    with Projector(nats_server.url, tmp_path) as running:

        async def answers() -> bool:
            try:
                return (await ReadModel(broker).known([], timeout_seconds=5)).position >= 0
            except ReadModelUnavailableError:
                return False

        await eventually(answers, what="the projector answers", timeout_seconds=60)
        yield running


class Replica:
    """The part of a processor that holds payment states, around the given cache."""

    def __init__(self, broker: Broker, state_cache: StateCache, watch: LogWatch) -> None:
        self.read_model = CountedReadModel(broker)
        self.state_cache = state_cache
        self.follower = Follower(broker, state_cache, watch)
        self.readings: list[int] = []
        """Of how many payments each reading of the log was."""
        histories = Histories(broker, ReadModel(broker))
        read_together = histories.read_together

        async def counted(requests: Mapping[str, int]) -> dict[str, History]:
            self.readings.append(len(requests))
            return await read_together(requests)

        histories.read_together = counted  # type: ignore[method-assign]
        lookups = Lookups(self.read_model, histories, lambda: watch.is_sure, away_seconds_max=0.1)
        self._payment_states = PaymentStates(state_cache, lookups)

    async def states(self, requests: dict[str, int]) -> list[PaymentState]:
        return await asyncio.gather(*(self._payment_states.of(*one) for one in requests.items()))


@asynccontextmanager
async def replica(broker: Broker, state_cache: StateCache, watch: LogWatch) -> AsyncIterator[Replica]:
    """A replica that has read the log."""
    made = Replica(broker, state_cache, watch)
    following = asyncio.ensure_future(made.follower.run())
    try:
        await asyncio.wait_for(made.follower.is_started.wait(), 30)
        yield made
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize("ended", [320, 1_600])
async def test_a_start_reads_as_many_messages_whatever_was_stored_since_the_oldest_request(
    broker: Broker, log: Log, projector: Projector, ended: int
) -> None:
    """Case 29: a request and a doubt at the log's front, and all other payments have ended."""
    waiting, doubtful = await request(broker, 1), await request(broker, 1)
    ((doubt, sequence),) = doubtful.items()
    intent = PaymentRouted(doubt, 5, 1, "default", now_us(), "test")
    routed_at, _ = await one_by_one(
        broker, intent, PaymentInDoubt(doubt, 1, "default", "cut off", request_sequence=sequence)
    )
    paid = await request(broker, ended)
    await end(broker, list(paid))

    watch = LogWatch(broker)
    state_cache = await begin(
        watch, log, ReadModel(broker), set(), oldest=waiting.popitem()[1], recent_messages=RECENT_MESSAGES
    )
    last = (await broker.log_state(timeout_seconds=5)).last_sequence
    assert last - state_cache.start_sequence + 1 == RECENT_MESSAGES
    async with replica(broker, state_cache, watch) as started:
        assert await started.states(doubtful) == [Open(intent, routed_at, in_doubt=True)]
        questions = started.read_model.questions
        assert questions <= 1
        assert await started.states(paid) == [Ended()] * ended
        assert started.read_model.questions - questions <= ended / 256 + 1


async def test_without_a_read_model_a_start_reads_everything_since_the_oldest_request(
    broker: Broker, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = await request(broker, 1)
    paid = await request(broker, 3_200)
    await end(broker, list(paid))
    ((payment, sequence),) = waiting.items()
    watch = LogWatch(broker)
    state_cache = await begin(
        watch, log, NoReadModel(), set(), oldest=sequence, recent_messages=RECENT_MESSAGES, wait_seconds=0.1
    )
    assert state_cache.start_sequence == sequence
    assert "messages of the log are read before payments are charged" in caplog.text
    async with replica(broker, state_cache, watch) as started:
        assert await started.states(waiting | paid) == [Unrouted()] + [Ended()] * len(paid)
        assert started.read_model.questions == 0
        assert started.state_cache.payment_state(payment, sequence) == Unrouted()


async def test_a_replica_whose_read_model_goes_away_reads_the_log_once_for_all_payments_that_wait(
    broker: Broker, log: Log
) -> None:
    paid, waiting, routed = await request(broker, 64), await request(broker, 64), await request(broker, 1)
    await end(broker, list(paid))
    intent = PaymentRouted(next(iter(routed)), 5, 1, "default", now_us(), "test")
    (routed_at,) = await one_by_one(broker, intent)
    await request(broker, 1)
    watch = LogWatch(broker)
    last = (await watch.look()).last_sequence
    async with replica(broker, StateCache(last + 1, set()), watch) as started:
        found = await started.states(paid | waiting | routed)
        assert found == [Ended()] * 64 + [Unrouted()] * 64 + [Open(intent, routed_at)]
        assert started.readings == [129]
        await end(broker, list(waiting))
        await started.follower.reached(last + 4, timeout_seconds=10)
        assert await started.states(waiting) == [Ended()] * 64
        assert started.readings == [129], "they are followed since"


@pytest.mark.parametrize("forgotten", [set(), Everything()], ids=["a small set", "a set that may hold any id"])
async def test_a_backlog_behind_ten_times_as_many_ended_payments_drains_with_few_questions(
    broker: Broker, log: Log, projector: Projector, forgotten: Forgotten
) -> None:
    """Case 30: nobody reads the log for a single payment, and each is asked for once, until it has ended."""
    paid = await request(broker, 10_000)
    waiting = await request(broker, 1_000)
    await end(broker, list(paid))

    watch = LogWatch(broker)
    await watch.look()
    state_cache = StateCache(1, forgotten, **SMALL)
    async with replica(broker, state_cache, watch) as started:
        for first in range(0, len(waiting), 250):
            batch = dict(list(waiting.items())[first : first + 250])
            for begun in range(0, 250, SMALL["adopted_max"]):
                part = dict(list(batch.items())[begun : begun + SMALL["adopted_max"]])
                assert await started.states(part) == [Unrouted()] * len(part)
                routed = await store(broker, [PaymentRouted(one, 5, 1, "default", now_us(), "test") for one in part])
                await started.follower.reached(max(routed), timeout_seconds=10)
                asked = started.read_model.questions
                assert all(isinstance(one, Open) for one in await started.states(part)), "each intent is confirmed"
                assert started.read_model.questions == asked, "without another question"
                ended = await store(
                    broker, [PaymentProcessed(one, 5, 1, "default", now_us(), now_us()) for one in part]
                )
                await started.follower.reached(max(ended), timeout_seconds=10)
        assert started.read_model.questions <= len(waiting) / SMALL["adopted_max"]
