"""Scenarios, their providers, and the bound, each alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.routing_sim.counter import RUNNING_MAX, WAITING_MAX, Counter
from qa.routing_sim.oracle import best
from qa.routing_sim.scenario import FINAL, PREVIEW, Scenario, Stage, Weather, random_scenario


def calm(rate: float, seconds: float, default: Weather, fallback: Weather, drain_seconds: float = 30.0) -> Scenario:
    return Scenario("calm", seconds, (rate, rate), 1000, (Stage(0, default, fallback),), drain_seconds)


def bound(scenario: Scenario, places: int = 400) -> tuple[int, int]:
    found = best(scenario, places_max=places, payments_per_second_max=1500, drain_seconds=scenario.drain_seconds)
    return found.default, found.fallback


@given(st.floats(1, 300), st.floats(1, 300), st.floats(1, 60))
def test_payments_arrive_in_order_within_the_scenario_and_in_the_number_of_the_rate(
    first: float, last: float, seconds: float
) -> None:
    arrivals = Scenario("c", seconds, (first, last), 1, ()).arrivals()
    assert arrivals == sorted(arrivals)
    assert len(arrivals) == int((first + last) / 2 * seconds)
    assert all(0 <= at <= seconds + 1e-6 for at in arrivals)


def test_a_stage_lasts_until_the_next_one() -> None:
    assert PREVIEW.stage(29.99).default == Weather(0.1, True)
    assert PREVIEW.stage(30.0).fallback == Weather(1.0, True)
    assert FINAL.stage(1000.0).default == Weather(2.0)


@pytest.mark.parametrize("seed", range(50))
def test_a_random_scenario_can_be_replayed_and_ends_with_a_working_provider(seed: int) -> None:
    scenario = random_scenario(seed)
    assert scenario == random_scenario(seed)
    assert not (scenario.stages[-1].default.failing and scenario.stages[-1].fallback.failing)


def test_a_counter_runs_so_many_lets_so_many_wait_and_turns_the_rest_away() -> None:
    ends: list[tuple[float, int]] = []
    counter = Counter(lambda at, call: ends.append((at, call)), delay_seconds=2.0)
    assert all(counter.admit(call, 1.0) for call in range(RUNNING_MAX + WAITING_MAX))
    assert not counter.admit(-1, 1.0)
    assert len(ends) == RUNNING_MAX
    assert ends[0] == (3.0, 0)
    assert counter.leave(3.0)
    assert ends[-1] == (5.0, RUNNING_MAX)


def test_a_counter_fails_by_how_it_fares_when_the_delay_is_over() -> None:
    counter = Counter(lambda *_: None)
    counter.admit(1, 0.0)
    counter.failing = True
    assert not counter.leave(0.0)


def test_all_can_be_charged_at_default_when_it_carries_them() -> None:
    assert bound(calm(100, 10, Weather(0.05), Weather(0))) == (1000, 0)


def test_what_default_cannot_carry_by_the_end_is_charged_at_fallback() -> None:
    default, fallback = bound(calm(100, 10, Weather(2), Weather(0), drain_seconds=0), places=40)
    assert 160 <= default <= 240
    assert default + fallback == 1000


def test_nothing_is_charged_where_everything_fails() -> None:
    assert bound(calm(100, 10, Weather(0, failing=True), Weather(0, failing=True))) == (0, 0)
