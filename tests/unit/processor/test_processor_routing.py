"""Circuits and the choice between them, at times that the test tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.events import PROCESSORS, ProcessorName
from processor.routing import (
    FAILURES_TO_OPEN,
    OPEN_SECONDS_MAX,
    OPEN_SECONDS_MIN,
    PROBE_SECONDS_MAX,
    CircuitBreaker,
    Route,
    Router,
    Wait,
)

NOW = 1000.0


def opened(breaker: CircuitBreaker, now: float = NOW) -> CircuitBreaker:
    """The breaker after as many failures as open it."""
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(now)
    assert breaker.state == "open"
    return breaker


def test_a_closed_circuit_admits_everything_and_holds_nothing_back() -> None:
    breaker = CircuitBreaker()
    for _ in range(100):
        assert breaker.admits(NOW)
        breaker.admit(NOW)
    assert breaker.state == "closed"


def test_a_circuit_opens_only_after_so_many_failures_in_a_row() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        for _ in range(FAILURES_TO_OPEN - 1):
            breaker.failed(NOW)
            assert breaker.admits(NOW)
        breaker.succeeded()
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.state == "closed"
        breaker.failed(NOW)
    assert breaker.state == "open"
    assert not breaker.admits(NOW)


def test_an_open_circuit_admits_nothing_until_its_pause_is_over() -> None:
    breaker = opened(CircuitBreaker())
    assert not breaker.admits(NOW + OPEN_SECONDS_MIN - 0.001)
    assert breaker.admits(NOW + OPEN_SECONDS_MIN)


def test_answers_of_calls_that_were_under_way_do_not_prolong_the_pause() -> None:
    breaker = opened(CircuitBreaker())
    until = breaker.until
    for later in (0.1, 0.2, 5.0):
        breaker.failed(NOW + later)
    assert (breaker.state, breaker.until, breaker.open_seconds) == ("open", until, OPEN_SECONDS_MIN)


def test_a_half_open_circuit_lets_exactly_one_probe_through() -> None:
    breaker = opened(CircuitBreaker())
    probe_at = NOW + OPEN_SECONDS_MIN
    breaker.admit(probe_at)
    assert breaker.state == "half-open"
    assert not any(breaker.admits(probe_at + seconds) for seconds in (0.0, 1.0, PROBE_SECONDS_MAX - 0.001))


def test_a_probe_without_an_outcome_is_given_up_and_the_next_one_may_go() -> None:
    breaker = opened(CircuitBreaker())
    breaker.admit(NOW + 1)
    assert breaker.admits(NOW + 1 + PROBE_SECONDS_MAX)
    breaker.admit(NOW + 1 + PROBE_SECONDS_MAX)
    assert not breaker.admits(NOW + 2 + PROBE_SECONDS_MAX)


def test_a_probe_that_succeeds_closes_the_circuit_and_forgets_the_failures() -> None:
    breaker = opened(CircuitBreaker())
    for now in (NOW + 1, NOW + 10):
        breaker.admit(now)
        breaker.failed(now)
    breaker.admit(NOW + 20)
    breaker.succeeded()
    assert breaker == CircuitBreaker(until=breaker.until)
    opened(breaker, NOW + 30)
    assert breaker.until == NOW + 30 + OPEN_SECONDS_MIN


def test_each_failed_probe_doubles_the_pause_up_to_its_bound() -> None:
    breaker = opened(CircuitBreaker())
    pauses = []
    now = NOW
    for _ in range(8):
        now = breaker.until
        assert breaker.admits(now)
        breaker.admit(now)
        breaker.failed(now + 0.01)
        assert breaker.state == "open"
        pauses.append(breaker.until - now - 0.01)
    assert pauses == pytest.approx([0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0])
    assert max(pauses) == pytest.approx(OPEN_SECONDS_MAX)


def test_default_is_preferred_while_its_circuit_is_closed() -> None:
    router = Router()
    opened(router.fallback)
    decision = router.decide(NOW)
    assert isinstance(decision, Route)
    assert decision.processor == "default"
    assert "circuit is closed" in decision.why


def test_fallback_is_taken_while_default_is_open_and_both_circuits_are_said() -> None:
    router = Router()
    opened(router.default)
    decision = router.decide(NOW)
    assert decision == Route("fallback", "default's circuit is open, fallback's is closed")
    assert router.can_route(NOW)
    assert router.is_any_closed


def test_default_is_probed_by_one_payment_and_the_rest_goes_to_fallback() -> None:
    router = Router()
    opened(router.default)
    later = NOW + OPEN_SECONDS_MIN
    choices = [router.decide(later) for _ in range(5)]
    assert [choice.processor for choice in choices if isinstance(choice, Route)] == ["default", *["fallback"] * 4]
    assert isinstance(choices[0], Route)
    assert "open" in choices[0].why
    assert isinstance(choices[1], Route)
    assert "half-open" in choices[1].why


def test_it_waits_for_the_nearer_probe_when_both_circuits_are_open() -> None:
    router = Router()
    opened(router.default, NOW)
    opened(router.fallback, NOW - 0.1)
    assert not router.can_route(NOW)
    assert not router.is_any_closed
    decision = router.decide(NOW)
    assert isinstance(decision, Wait)
    assert decision.seconds == pytest.approx(OPEN_SECONDS_MIN - 0.1)
    assert decision.why == "both circuits are open"
    assert isinstance(router.decide(NOW + decision.seconds + 0.001), Route)


def test_waiting_leaves_both_circuits_as_they_were() -> None:
    router = Router()
    opened(router.default)
    opened(router.fallback)
    before = (str(router.default), str(router.fallback))
    router.decide(NOW)
    assert (str(router.default), str(router.fallback)) == before


@pytest.mark.parametrize("processor", PROCESSORS)
def test_what_is_observed_of_a_processor_moves_its_own_circuit_only(processor: ProcessorName) -> None:
    router = Router()
    for _ in range(FAILURES_TO_OPEN):
        router.observe(processor, success=False, now=NOW)
    assert [name for name in PROCESSORS if router.breaker(name).state == "open"] == [processor]
    router.observe(processor, success=True, now=NOW)
    assert router.breaker(processor).state == "closed"


OBSERVATIONS = st.lists(
    st.tuples(st.sampled_from(PROCESSORS), st.sampled_from(["decide", "success", "failure"]), st.floats(0, 5)),
    max_size=60,
)


@given(OBSERVATIONS)
def test_whatever_is_observed_waits_are_bounded_reasoned_and_agree_with_can_route(
    observations: list[tuple[ProcessorName, str, float]],
) -> None:
    router, now = Router(), NOW
    for processor, what, seconds in observations:
        now += seconds
        if what != "decide":
            router.observe(processor, success=what == "success", now=now)
            continue
        could_route = router.can_route(now)
        states = {name: router.breaker(name).state for name in PROCESSORS}
        decision = router.decide(now)
        assert decision.why
        assert isinstance(decision, Route) == could_route
        match decision:
            case Route("fallback"):
                assert states["default"] != "closed"
            case Wait(wait_seconds):
                assert 0 <= wait_seconds <= PROBE_SECONDS_MAX
                assert "closed" not in states.values()
                assert router.can_route(now + wait_seconds + 0.001)
