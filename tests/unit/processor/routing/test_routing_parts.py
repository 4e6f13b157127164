"""The router's parts, each by itself: circuit breaker, concurrency limit, estimator, backlog."""

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.processor.routing.backlog import Backlog
from tollgate.processor.routing.circuit_breaker import PROBE_ANSWER_SECONDS_MAX, CircuitBreaker
from tollgate.processor.routing.concurrency_limit import ConcurrencyLimit
from tollgate.processor.routing.estimator import HEALTH_SECONDS_MAX, Estimator

NOW = 1000.0


def opened() -> CircuitBreaker:
    breaker = CircuitBreaker(failures_to_open=3, pause_seconds_max=1.0)
    for _ in range(3):
        assert breaker.is_closed
        breaker.failed(NOW, NOW)
    assert breaker.state == "open"
    return breaker


def test_a_circuit_opens_after_so_many_failures_in_a_row_and_admits_nothing_until_its_pause_is_over() -> None:
    breaker = opened()
    assert not breaker.admits(NOW + 0.124)
    assert breaker.admits(NOW + 0.125)


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = CircuitBreaker(failures_to_open=2, pause_seconds_max=1.0)
    for _ in range(10):
        breaker.failed(NOW, NOW)
        breaker.succeeded(NOW, NOW)
    assert breaker.is_closed


def test_each_failed_probe_doubles_the_pause_up_to_its_bound() -> None:
    breaker, pauses = opened(), []
    for _ in range(5):
        now = breaker.until
        breaker.admit(now)
        assert not breaker.admits(now + PROBE_ANSWER_SECONDS_MAX - 0.01)
        breaker.failed(now, now)
        pauses.append(breaker.until - now)
    assert pauses == pytest.approx([0.25, 0.5, 1.0, 1.0, 1.0])


def test_a_probe_without_an_answer_is_given_up() -> None:
    breaker = opened()
    breaker.admit(NOW + 1)
    assert breaker.admits(NOW + 1 + PROBE_ANSWER_SECONDS_MAX)


def test_the_outcome_of_a_call_sent_before_the_circuit_changed_is_ignored() -> None:
    breaker = opened()
    breaker.succeeded(NOW - 1, NOW + 1)
    assert breaker.state == "open"
    breaker.admit(NOW + 1)
    breaker.succeeded(NOW + 1, NOW + 2)
    for _ in range(10):
        breaker.failed(NOW + 1, NOW + 3)
    assert breaker.is_closed


def test_places_double_with_each_round_trip_until_the_first_refusal_and_grow_slowly_after() -> None:
    limit = ConcurrencyLimit(1000, places=0)
    assert limit.places == 500
    for _ in range(500):
        limit.coped(int(limit.places))
    assert limit.places == 1000
    limit.refused(400, NOW, NOW)
    assert limit.places == limit.attainable == 360
    for _ in range(360):
        limit.coped(int(limit.places))
    assert 375 < limit.places < 385


def test_refusals_of_one_round_trip_count_once() -> None:
    limit = ConcurrencyLimit(1000)
    limit.refused(100, NOW, NOW + 1)
    for _ in range(50):
        limit.refused(100, NOW + 0.5, NOW + 1.5)
    assert limit.places == 90


def test_places_that_are_not_used_do_not_grow() -> None:
    limit = ConcurrencyLimit(1000)
    for _ in range(1000):
        limit.coped(10)
    assert limit.places == 500


def test_an_estimate_without_observations_returns_to_the_prior() -> None:
    estimator, chance = Estimator(half_life_seconds=10), Random(1)
    for _ in range(100):
        estimator.observe(success=False, seconds=None, now=NOW)
    assert max(estimator.sample_success(chance, NOW) for _ in range(100)) < 0.3
    later = NOW + 200
    assert sum(estimator.sample_success(chance, later) for _ in range(100)) / 100 > 0.8


def test_a_latency_does_not_fade_below_the_last_health_report_while_that_is_recent() -> None:
    estimator = Estimator(half_life_seconds=1)
    estimator.observe_health(2.0, NOW)
    estimator.observe(success=True, seconds=30, now=NOW)
    assert estimator.latency_seconds(NOW + 8) == pytest.approx(2.02, abs=0.02)
    assert estimator.latency_seconds(NOW + HEALTH_SECONDS_MAX) >= 2.02
    assert estimator.latency_seconds(NOW + HEALTH_SECONDS_MAX + 20) < 0.03


def test_calls_that_are_faster_than_the_health_report_lower_the_latency() -> None:
    estimator = Estimator(half_life_seconds=1)
    estimator.observe_health(2.0, NOW)
    for _ in range(50):
        estimator.observe(success=True, seconds=0.1, now=NOW)
    assert estimator.latency_seconds(NOW + 8) < 0.15


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 20), st.floats(0, 100)), max_size=50))
def test_estimates_stay_within_the_observed_values(calls: list[tuple[bool, float, float]]) -> None:
    estimator, now = Estimator(half_life_seconds=5), NOW
    for success, seconds, pause in calls:
        now += pause
        estimator.observe(success=success, seconds=seconds, now=now)
        assert 0 < estimator.sample_success(Random(1), now) <= 1
        assert 0 <= estimator.latency_seconds(now) <= 20.1


@pytest.mark.parametrize(("served", "expected"), [(50.0, inf), (100.0, inf), (300.0, 5.0)])
def test_a_queue_clears_only_if_more_is_served_than_arrives(served: float, expected: float) -> None:
    backlog = Backlog()
    for second in range(30):
        # A hundred arrive each second, and twenty are taken.
        for one in range(20):
            delivered = second * 20 + one + 1
            backlog.observe(
                delivered=delivered, pending=delivered * 4, payments=1, is_redelivery=False, now=NOW + second + one / 20
            )
    assert backlog.arrivals_per_second == pytest.approx(100, rel=0.15)
    backlog.pending, backlog.arrivals_per_second = 1000, 100
    assert backlog.clears_in_seconds(served) == expected


def test_one_of_two_replicas_counts_its_own_half() -> None:
    backlog = Backlog()
    for number in range(400):
        backlog.observe(delivered=2 * number, pending=500, payments=1, is_redelivery=False, now=NOW + number / 50)
    assert backlog.pending == pytest.approx(250, rel=0.05)
    assert backlog.arrivals_per_second == pytest.approx(50, rel=0.1)
