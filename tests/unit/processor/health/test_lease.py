"""The lease for health polling: one round at a time, never sooner than the providers allow, and never held for ever."""

import heapq
import itertools
import random

import pytest

from tollgate.contract.health_bucket import RECORD_SECONDS_MAX
from tollgate.processor.health.lease import (
    CALL_SECONDS,
    FRESH_SECONDS,
    INTERVAL_SECONDS_MAX,
    MARGIN_SECONDS,
    HealthLease,
    Pace,
)
from tollgate.processor.health.record import PROVIDERS, UNREADABLE, Record
from tollgate.processor.health.report import Health

INTERVAL_SECONDS = 5.0
SIMULATED_SECONDS = 400
PACE = Pace(INTERVAL_SECONDS)
WELL, FAILING = Health(False, 0.0), Health(True, 0.1)


def lease(name: str = "me") -> HealthLease:
    return HealthLease(name, PACE)


def full_round(mine: HealthLease, revision: int, *, begun_at: float, ended_at: float) -> Record:
    """Begins a round, receives two answers and ends it; returns the record in the bucket, under revision + 2."""
    record = mine.begin()
    mine.begun(revision, record, begun_at)
    for step, provider in enumerate(PROVIDERS, 1):
        shared = mine.answered(provider, WELL)
        assert shared is not None
        mine.written(revision + step, shared)
        record = shared
    mine.finished(ended_at)
    return record


def test_with_an_empty_bucket_a_replica_may_begin_at_once() -> None:
    mine = lease()
    assert mine.read(0, None, 100.0, asked_at_revision=0) == {}
    assert mine.due_at < 100
    assert mine.begin() == Record("me", 1)


def test_the_holder_asks_again_an_interval_and_a_margin_after_its_last_answer() -> None:
    mine = lease()
    full_round(mine, 1, begun_at=100.0, ended_at=101.2)
    assert mine.is_mine
    assert mine.due_at == pytest.approx(101.2 + INTERVAL_SECONDS + MARGIN_SECONDS)
    assert mine.begin().round == 2


def test_the_others_wait_longer_than_the_holder_while_it_lives() -> None:
    mine, other = lease(), lease("other")
    record = full_round(mine, 1, begun_at=100.0, ended_at=100.01)
    other.receive(3, record, 100.0)
    assert not other.is_mine
    assert mine.due_at < other.due_at <= 100 + INTERVAL_SECONDS * 1.2


def test_when_the_holder_dies_during_its_calls_the_others_wait_until_the_calls_would_have_ended() -> None:
    other = lease("other")
    other.receive(1, Record("me", 1), 100.0)
    assert other.due_at >= 100 + FRESH_SECONDS + CALL_SECONDS + INTERVAL_SECONDS + MARGIN_SECONDS


def test_a_replica_that_starts_later_treats_the_record_as_new_and_takes_its_answers() -> None:
    late = lease("late")
    record = Record("me", 7, {"default": FAILING, "fallback": None})
    assert late.read(40, record, 100.0, asked_at_revision=0) == {"default": FAILING}
    assert late.due_at > 100 + INTERVAL_SECONDS


def test_reading_the_same_record_again_does_not_put_the_takeover_off() -> None:
    other = lease("other")
    other.receive(1, Record("me", 1), 100.0)
    due_at = other.due_at
    assert other.read(1, Record("me", 1), 104.0, asked_at_revision=1) == {}
    assert other.due_at == due_at


def test_an_older_revision_changes_nothing() -> None:
    other = lease("other")
    newer = Record("me", 2, {"default": WELL})
    other.receive(5, newer, 100.0)
    assert other.receive(4, Record("me", 2), 101.0) == {}
    assert other.read(4, Record("me", 2), 101.0, asked_at_revision=3) == {}
    assert (other.revision, other.record) == (5, newer)


def test_a_recreated_bucket_is_accepted_and_the_time_of_the_last_call_is_kept() -> None:
    other = lease("other")
    other.receive(50, Record("me", 9), 100.0)
    due_at = other.due_at
    other.read(0, None, 101.0, asked_at_revision=50)
    assert (other.revision, other.record, other.due_at) == (0, None, due_at)
    other.read(2, Record("third", 1), 102.0, asked_at_revision=0)
    assert other.due_at > due_at


def test_each_answer_is_returned_once() -> None:
    other = lease("other")
    first = Record("me", 1, {"default": WELL})
    assert other.receive(2, first, 100.0) == {"default": WELL}
    assert other.receive(3, first.with_answer("fallback", FAILING), 100.1) == {"fallback": FAILING}
    assert other.receive(5, Record("me", 2, {"default": WELL}), 105.0) == {"default": WELL}


def test_a_failed_check_is_not_returned() -> None:
    assert lease("other").receive(2, Record("me", 1, dict.fromkeys(PROVIDERS)), 100.0) == {}


def test_the_holders_own_answers_are_not_returned_to_it() -> None:
    mine = lease()
    mine.begun(1, mine.begin(), 100.0)
    shared = mine.answered("default", WELL)
    assert shared is not None
    due_at = mine.due_at
    # The broker may say it before it acknowledges it.
    assert mine.receive(2, shared, 100.1) == {}
    mine.written(2, shared)
    assert mine.due_at == due_at


def test_a_holder_that_lost_the_lease_writes_nothing_and_waits_like_the_others() -> None:
    mine = lease()
    mine.begun(1, mine.begin(), 100.0)
    mine.receive(2, Record("other", 2), 110.0)
    assert not mine.is_mine
    assert mine.answered("default", FAILING) is None
    mine.finished(110.1)
    assert mine.due_at >= 110 + INTERVAL_SECONDS + FRESH_SECONDS + CALL_SECONDS


def test_a_round_that_may_have_been_written_counts_as_begun_and_makes_no_call() -> None:
    mine = lease()
    mine.put_off(100.0)
    assert mine.due_at > 100 + INTERVAL_SECONDS + FRESH_SECONDS + CALL_SECONDS
    # It was: the broker says so. It is still not this replica's round to call in.
    mine.receive(1, Record("me", 1), 100.3)
    assert mine.due_at > 100.3 + INTERVAL_SECONDS + FRESH_SECONDS + CALL_SECONDS
    assert mine.answered("default", WELL) is None


def test_an_unreadable_record_counts_as_a_round_of_another_replica() -> None:
    mine = lease()
    assert mine.receive(3, UNREADABLE, 100.0) == {}
    assert mine.due_at > 100 + INTERVAL_SECONDS
    assert mine.begin() == Record("me", 1)


def test_a_record_expires_later_than_the_next_round_may_begin() -> None:
    assert Pace(INTERVAL_SECONDS_MAX).takeover_seconds(Record("me", 1)) < RECORD_SECONDS_MAX


class _Fleet:
    """Replicas, a bucket with compare-and-set, and one processor's allowance, in simulated time.

    Messages take up to 50 ms, calls up to CALL_SECONDS. A replica may be stopped at any of its steps for any time, and
    go on; or die. Each has a clock of its own.
    """

    def __init__(self, seed: int, replicas: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.revision = 0
        self.record: Record | None = None
        self.calls: list[tuple[float, str]] = []
        self._events: list[tuple[float, int, object]] = []
        self._order = itertools.count()
        self._offset = {name: self.random.uniform(-1e6, 1e6) for name in map(str, range(replicas))}
        self._stopped_until = dict.fromkeys(self._offset, 0.0)
        self.leases = {name: lease(name) for name in self._offset}
        for name in self.leases:
            self._later(self.random.uniform(0, 3), lambda name=name: self._tick(name))

    def run(self, seconds: float) -> None:
        while self._events and self._events[0][0] <= seconds:
            self.now, _, step = heapq.heappop(self._events)
            step()  # type: ignore[operator]

    def kill(self, name: str) -> None:
        self._stopped_until[name] = float("inf")

    def _clock(self, name: str) -> float:
        return self.now + self._offset[name]

    def _later(self, seconds: float, step: object) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), step))

    def _when_running(self, name: str, step: object) -> bool:
        """Whether the replica runs now; if not, it takes the step when it runs again."""
        if self._stopped_until[name] <= self.now:
            return True
        if self._stopped_until[name] < float("inf"):
            self._later(self._stopped_until[name] - self.now, step)
        return False

    def _maybe_stop(self, name: str) -> None:
        if self.random.random() < 0.05:
            self._stopped_until[name] = self.now + self.random.choice([0.3, 3.0, 9.0, 30.0])

    def _write(self, record: Record, expected: int) -> int | None:
        if expected != self.revision:
            return None
        self.revision += 1
        self.record = record
        revision = self.revision
        for name in self.leases:
            self._later(self.random.uniform(0, 0.05), lambda name=name: self._hear(name, revision, record))
        return revision

    def _hear(self, name: str, revision: int, record: Record) -> None:
        if self._when_running(name, lambda: self._hear(name, revision, record)):
            self.leases[name].receive(revision, record, self._clock(name))

    def _tick(self, name: str) -> None:
        if not self._when_running(name, lambda: self._tick(name)):
            return
        mine = self.leases[name]
        if mine.due_at <= self._clock(name):
            self._maybe_stop(name)
            sent_at = self._clock(name)
            record, expected = mine.begin(), mine.revision
            self._later(
                self.random.uniform(0, 0.02),
                lambda: self._acknowledge(name, record, sent_at, self._write(record, expected)),
            )
            return
        self._later(0.2, lambda: self._tick(name))

    def _acknowledge(self, name: str, record: Record, sent_at: float, revision: int | None) -> None:
        self._maybe_stop(name)
        if not self._when_running(name, lambda: self._acknowledge(name, record, sent_at, revision)):
            return
        mine, now = self.leases[name], self._clock(name)
        self._later(0.2, lambda: self._tick(name))
        if revision is None:
            mine.put_off(now)
            mine.read(self.revision, self.record, now, asked_at_revision=mine.revision)
            return
        mine.begun(revision, record, now)
        if now - sent_at < FRESH_SECONDS:
            seconds = self.random.uniform(0, CALL_SECONDS)
            self._later(self.random.uniform(0, seconds), lambda: self.calls.append((self.now, name)))
            self._later(seconds, lambda: self._end(name))

    def _end(self, name: str) -> None:
        if not self._when_running(name, lambda: self._end(name)):
            return
        mine = self.leases[name]
        for provider in PROVIDERS:
            shared = mine.answered(provider, WELL)
            if shared is not None and (revision := self._write(shared, mine.revision)) is not None:
                mine.written(revision, shared)
        mine.finished(self._clock(name))


@pytest.mark.parametrize("seed", range(10))
def test_replicas_that_are_paused_at_any_moment_never_call_within_the_interval(seed: int) -> None:
    fleet = _Fleet(seed, replicas=3)
    fleet.run(SIMULATED_SECONDS)
    moments = [at for at, _ in fleet.calls]
    assert all(later - earlier >= INTERVAL_SECONDS for earlier, later in itertools.pairwise(moments))
    assert len({name for _, name in fleet.calls}) > 1, "the lease was never taken over"
    # Nobody polls while all are stopped, or the one whose round it is: apart from that, somebody does.
    assert len(moments) > SIMULATED_SECONDS / (INTERVAL_SECONDS + MARGIN_SECONDS + CALL_SECONDS) * 0.4


def test_when_the_holder_dies_another_asks_within_a_takeover() -> None:
    fleet = _Fleet(1, replicas=3)
    fleet.random.random = lambda: 1.0  # type: ignore[method-assign]  # nobody is stopped
    fleet.run(60)
    holder = fleet.calls[-1][1]
    fleet.kill(holder)
    fleet.run(120)
    (last_at, _), (next_at, successor) = next(
        pair for pair in itertools.pairwise(fleet.calls) if pair[0][1] == holder and pair[1][1] != holder
    )
    assert successor != holder
    assert INTERVAL_SECONDS <= next_at - last_at <= PACE.takeover_seconds(Record(holder, 1)) + CALL_SECONDS + 0.4
