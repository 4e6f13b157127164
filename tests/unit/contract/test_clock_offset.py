"""The difference between two clocks, from answers with the other's time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.clock_offset import DRIFT_US_PER_SECOND, BrokerTime, ClockOffset
from tollgate.contract.payment_state import CLOCK_OFFSET_SECONDS_WARNED
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.messaging.broker_clock import BrokerClock

BROKER_MINUS_MONOTONIC_US = 1_700_000_000 * MICROSECONDS
DELAYS = st.integers(0, 20 * MICROSECONDS)


def answer(asked_at_us: int, there_us: int, back_us: int, base_us: int = BROKER_MINUS_MONOTONIC_US) -> BrokerTime:
    """Of a broker that reads its clock `there_us` after the question, and is heard `back_us` later."""
    return BrokerTime.of_answer(asked_at_us, base_us + asked_at_us + there_us, asked_at_us + there_us + back_us)


@given(
    ahead_us=st.integers(-100 * MICROSECONDS, 100 * MICROSECONDS),
    questions=st.lists(st.tuples(st.integers(0, 60 * MICROSECONDS), DELAYS, DELAYS), min_size=1, max_size=8),
    drift_us_per_second=st.integers(-DRIFT_US_PER_SECOND, DRIFT_US_PER_SECOND),
)
def test_the_true_difference_is_inside_the_range_however_slow_the_answers_are(
    ahead_us: int, questions: list[tuple[int, int, int]], drift_us_per_second: int
) -> None:
    def broker_us(monotonic_us: int) -> int:
        return BROKER_MINUS_MONOTONIC_US + monotonic_us + monotonic_us * drift_us_per_second // MICROSECONDS

    now_us, known = 0, None
    for pause_us, there_us, back_us in questions:
        now_us += pause_us
        read_at_us = now_us + there_us
        newer = BrokerTime.of_answer(now_us, broker_us(read_at_us), read_at_us + back_us)
        known = newer if known is None else known.then(newer)
        now_us = read_at_us + back_us
    assert known is not None
    offset = known.offset(now_us, broker_us(now_us) + ahead_us, now_us)
    assert offset.low_us <= ahead_us <= offset.high_us
    assert abs(offset.middle_us - ahead_us) <= offset.uncertainty_us


@given(st.lists(st.tuples(DELAYS, DELAYS), min_size=2, max_size=8))
def test_a_further_answer_makes_the_range_no_wider_than_the_clocks_may_run_apart(delays: list[tuple[int, int]]) -> None:
    known: list[BrokerTime] = []
    for there_us, back_us in delays:
        asked_at_us = known[-1].measured_at_us if known else 0
        newer = answer(asked_at_us, there_us, back_us)
        known.append(known[-1].then(newer) if known else newer)
    for before, after in pairwise(known):
        drift_us = (after.measured_at_us - before.measured_at_us) * DRIFT_US_PER_SECOND / MICROSECONDS
        assert after.high_us - after.low_us <= before.high_us - before.low_us + 2 * drift_us + 2


def test_one_quick_answer_is_enough_and_slow_ones_beside_it_do_no_harm() -> None:
    quick, slow = answer(0, 200, 200), answer(1_000, 4 * MICROSECONDS, MICROSECONDS)
    for known in (quick.then(slow), slow.then(answer(6 * MICROSECONDS, 200, 200))):
        assert (
            known.offset(
                known.measured_at_us, BROKER_MINUS_MONOTONIC_US + known.measured_at_us, known.measured_at_us
            ).uncertainty_us
            < 5_000
        )


def test_a_broker_clock_that_was_set_is_followed_at_the_next_answer() -> None:
    known = answer(0, 100, 100).then(answer(MICROSECONDS, 100, 100, BROKER_MINUS_MONOTONIC_US - 3 * MICROSECONDS))
    offset = known.offset(MICROSECONDS, BROKER_MINUS_MONOTONIC_US + MICROSECONDS, MICROSECONDS)
    assert offset.exceeds(2.99)
    assert not offset.exceeds(3.01)


@pytest.mark.parametrize(
    ("offset", "exceeds"),
    [
        (ClockOffset(500_001, 500_003), True),
        (ClockOffset(-500_003, -500_001), True),
        # As long as it may be less, nothing is certain.
        (ClockOffset(500_000, 900_000), False),
        (ClockOffset(-900_000, -500_000), False),
        (ClockOffset(-900_000, 900_000), False),
    ],
)
def test_a_bound_is_exceeded_only_for_certain(offset: ClockOffset, exceeds: bool) -> None:
    assert offset.exceeds(0.5) is exceeds


def test_a_difference_reads_as_a_sentence_does() -> None:
    assert str(ClockOffset(-2_003_500, -2_002_500)) == "2.003 s behind the broker's (± 0.001 s)"
    assert str(ClockOffset(29_999_000, 30_001_000)) == "30.000 s ahead of the broker's (± 0.001 s)"


class Clocks:
    """A wall clock that can be set, and a monotonic one."""

    def __init__(self) -> None:
        self.monotonic_us = 5 * MICROSECONDS
        self.ahead_us = 0

    def monotonic(self) -> int:
        return self.monotonic_us

    def wall(self) -> int:
        return BROKER_MINUS_MONOTONIC_US + self.monotonic_us + self.ahead_us


def measured(clocks: Clocks) -> BrokerClock:
    clock = BrokerClock(wall=clocks.wall, monotonic=clocks.monotonic)
    clock.observe(clocks.monotonic_us - 300, BROKER_MINUS_MONOTONIC_US + clocks.monotonic_us - 150)
    return clock


def test_a_wall_clock_that_is_set_is_detected_without_a_further_answer_and_corrected() -> None:
    clocks = Clocks()
    clock = measured(clocks)
    assert not _exceeds(clock, 0.001)
    for ahead_us in (30 * MICROSECONDS, -2 * MICROSECONDS, 0):
        clocks.ahead_us = ahead_us
        clocks.monotonic_us += MICROSECONDS
        assert _exceeds(clock, 1) is (ahead_us != 0)
        assert abs(clock.now_us() - (BROKER_MINUS_MONOTONIC_US + clocks.monotonic_us)) < 5_000


def test_below_the_bound_the_time_of_day_is_the_wall_clocks_own() -> None:
    clocks = Clocks()
    clock = measured(clocks)
    clocks.ahead_us = int(CLOCK_OFFSET_SECONDS_WARNED * MICROSECONDS) - 1_000
    assert clock.now_us() == clocks.wall()


def test_before_the_first_answer_there_is_no_offset_and_no_correction() -> None:
    clocks = Clocks()
    clock = BrokerClock(wall=clocks.wall, monotonic=clocks.monotonic)
    assert not clock.is_off_by(0)
    assert (clock.offset(), clock.measured_at_us, clock.now_us()) == (None, None, clocks.wall())


def test_a_program_that_is_stopped_between_its_two_clocks_does_not_take_that_for_a_difference() -> None:
    clocks = Clocks()
    clock = measured(clocks)
    read_wall = clocks.wall

    def stopped_before_the_wall_clock() -> int:
        clocks.monotonic_us += 9 * MICROSECONDS
        return read_wall()

    stopped = BrokerClock(wall=stopped_before_the_wall_clock, monotonic=clocks.monotonic)
    stopped.observe(clocks.monotonic_us - 300, BROKER_MINUS_MONOTONIC_US + clocks.monotonic_us - 150)
    assert not _exceeds(stopped, 0.1)
    assert not _exceeds(clock, 0.1)


def _exceeds(clock: BrokerClock, bound_seconds: float) -> bool:
    offset = clock.offset()
    assert offset is not None
    assert clock.is_off_by(bound_seconds) is offset.exceeds(bound_seconds)
    return offset.exceeds(bound_seconds)


@given(ahead_us=st.integers(-1_200_000, 1_200_000), later_seconds=st.integers(0, 10**6))
def test_the_short_way_says_the_same_as_the_offset_at_any_time_after_a_measurement(
    ahead_us: int, later_seconds: int
) -> None:
    clocks = Clocks()
    clock = measured(clocks)
    clocks.ahead_us = ahead_us
    clocks.monotonic_us += later_seconds * MICROSECONDS
    assert clock.is_off_by(1.0) is _exceeds(clock, 1.0)


@given(
    there_us=DELAYS,
    back_us=DELAYS,
    ahead_us=st.integers(-MICROSECONDS, MICROSECONDS),
    later_us=st.integers(0, 60 * MICROSECONDS),
    reading_us=st.integers(0, 1_000),
)
def test_a_clock_that_agrees_at_a_glance_exceeds_no_bound_when_it_is_looked_at_closely(
    there_us: int, back_us: int, ahead_us: int, later_us: int, reading_us: int
) -> None:
    known = answer(0, there_us, back_us)
    before_us = known.measured_at_us + later_us
    wall_us = BROKER_MINUS_MONOTONIC_US + before_us + ahead_us
    if known.agrees(wall_us - before_us, CLOCK_OFFSET_SECONDS_WARNED):
        closely = known.offset(before_us, wall_us, before_us + reading_us)
        assert not closely.exceeds(CLOCK_OFFSET_SECONDS_WARNED)


def test_a_clock_that_is_right_agrees_at_a_glance_and_one_that_was_set_does_not() -> None:
    known = answer(0, 200, 200)
    for ahead_seconds, agrees in ((0.0, True), (0.2, True), (-0.2, True), (0.3, False), (-0.3, False)):
        difference_us = BROKER_MINUS_MONOTONIC_US + round(ahead_seconds * MICROSECONDS)
        assert known.agrees(difference_us, CLOCK_OFFSET_SECONDS_WARNED) is agrees
