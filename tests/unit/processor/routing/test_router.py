"""The router as a whole: its decisions, their reasons, and what must hold after any observations."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.processor.health.report import Health
from tollgate.processor.routing import Decision, Outcome, Policy, Route, Router, Wait
from tollgate.processor.routing.router import OUTAGE_PATIENCES, OVERDUE_SLACK_SECONDS, RECHECK_SECONDS, TURN_SECONDS

NOW = 1000.0
POLICY = Policy(patience_seconds=20, concurrency_max=100, failures_to_open=3, probe_seconds_max=1.0)


def new_router(policy: Policy = POLICY) -> Router:
    return Router(policy, Random(1))


def decide(router: Router, now: float = NOW, *, waited_seconds: float = 0.0) -> Decision:
    return router.decide(now, amount_cents=1990, waited_seconds=waited_seconds)


def routed(router: Router, now: float = NOW, *, waited_seconds: float = 0.0) -> Route:
    decision = decide(router, now, waited_seconds=waited_seconds)
    assert isinstance(decision, Route), decision
    return decision


def take_down(router: Router, provider: ProviderName, now: float = NOW) -> None:
    router.observe_health(provider, Health(failing=True, min_response_seconds=0.0), now)
    assert router.provider_state(provider).is_down


def fill(router: Router, now: float = NOW) -> int:
    """Sends payments until the router has room for no more."""
    sent = 0
    while router.room(now) > 0:
        routed(router, now)
        sent += 1
    return sent


ARRIVALS_PER_SECOND = 100


def crowd(router: Router, *, seconds: float, now: float = NOW) -> float:
    """Default takes `seconds` for each payment, and ARRIVALS_PER_SECOND come, more than its places carry."""
    router.observe_health("default", Health(failing=False, min_response_seconds=seconds), now)
    for delivered in range(1, 101):
        now += 0.1
        router.observe_delivery(delivered=delivered, pending=delivered * 10, payments=1, is_redelivery=False, now=now)
        router.observe_health("default", Health(failing=False, min_response_seconds=seconds), now)
    return now


def test_a_payment_goes_to_the_cheaper_provider_and_the_reason_names_both_and_the_saving() -> None:
    decision = routed(new_router())
    assert decision.provider == "default"
    assert "cheapest: default" in decision.why
    assert "fallback" in decision.why
    assert decision.why.endswith("saves 199 cents")


@pytest.mark.parametrize(("slower_by_seconds", "expected"), [(2.0, "default"), (18.0, "default"), (25.0, "fallback")])
def test_a_slow_cheap_provider_is_chosen_up_to_the_patience(slower_by_seconds: float, expected: ProviderName) -> None:
    router = new_router()
    for _ in range(60):
        router.observe_health("default", Health(failing=False, min_response_seconds=slower_by_seconds), NOW)
        router.provider_state("default").estimator.observe(success=True, seconds=slower_by_seconds, now=NOW)
        router.provider_state("fallback").estimator.observe(success=True, seconds=0.01, now=NOW)
    assert routed(router).provider == expected


def test_payments_wait_in_the_log_while_the_cheap_provider_is_down_and_the_reason_names_that() -> None:
    router = new_router()
    take_down(router, "default")
    decision = decide(router, NOW + 0.01, waited_seconds=3)
    assert isinstance(decision, Wait)
    assert decision.why == "default is down, waited 3.0 of 20.0 s"
    assert router.room(NOW + 0.02) == 0


def test_a_payment_whose_patience_is_over_goes_to_the_expensive_provider_and_the_reason_names_the_cost() -> None:
    router = new_router()
    take_down(router, "default")
    decision = routed(router, NOW + 0.01, waited_seconds=20)
    assert decision.provider == "fallback"
    assert decision.why == "patience is over: default is down, waited 20.0 of 20.0 s; costs 199 cents more"


def test_the_router_has_room_again_when_the_patience_of_the_oldest_payment_may_be_over() -> None:
    router = new_router()
    take_down(router, "default")
    router.provider_state("default").breaker.until = NOW + 1000
    assert isinstance(decide(router, NOW, waited_seconds=5), Wait)
    assert isinstance(decide(router, NOW, waited_seconds=4), Wait)
    due = NOW + 15 - OVERDUE_SLACK_SECONDS
    assert router.room(due - 0.01) == 0
    assert router.room(due) > 0
    assert routed(router, due, waited_seconds=20).provider == "fallback"


def test_in_a_long_outage_patience_shrinks() -> None:
    router = new_router()
    take_down(router, "default")
    router.provider_state("default").breaker.until = NOW + 100_000
    assert isinstance(decide(router, NOW + 20 * OUTAGE_PATIENCES, waited_seconds=10), Wait)
    assert routed(router, NOW + 20 * OUTAGE_PATIENCES * 10, waited_seconds=2).provider == "fallback"


def test_the_reason_of_the_payment_that_probes_names_the_probe() -> None:
    router = new_router()
    take_down(router, "default")
    later = NOW + 0.5
    assert isinstance(decide(router), Wait)
    assert router.room(later) == 1
    decision = routed(router, later)
    assert decision.provider == "default"
    assert decision.why.startswith("probe: default has been down for 0.5 s")
    assert isinstance(decide(router, later), Wait)
    router.observe("default", "succeeded", later + 0.1, seconds=0.1)
    assert routed(router, later + 0.1).why.startswith("cheapest")


def test_a_probe_that_was_not_sent_lets_the_next_one_go() -> None:
    router = new_router()
    take_down(router, "default")
    routed(router, NOW + 0.5)
    router.withdraw("default", NOW + 0.6, seconds=0.1)
    assert router.provider_state("default").in_flight == 0
    assert routed(router, NOW + 0.6).provider == "default"


def test_withdrawing_a_payment_from_before_the_outage_admits_no_second_probe() -> None:
    router = new_router()
    routed(router, NOW - 1)
    take_down(router, "default")
    routed(router, NOW + 0.5)
    router.withdraw("default", NOW + 0.6, seconds=1.6)
    assert isinstance(decide(router, NOW + 0.6), Wait)


def test_payments_wait_for_a_full_cheap_provider_that_keeps_up() -> None:
    router = new_router()
    assert fill(router) == 50
    assert isinstance(decide(router), Wait)
    assert router.room(NOW) == 0


def test_the_overflow_of_a_full_cheap_provider_goes_to_the_expensive_one_at_once() -> None:
    router = new_router()
    now = crowd(router, seconds=5)
    places = fill(router, now)
    overflow = routed(router, now) if places < POLICY.concurrency_max and router.room(now) else None
    sent = {provider: router.provider_state(provider).in_flight for provider in PROVIDERS}
    assert sent["default"] > 0
    assert sent["fallback"] > 0
    assert overflow is None
    router.observe("fallback", "succeeded", now, seconds=0.01)
    decision = routed(router, now)
    assert decision.provider == "fallback"
    assert decision.why.startswith("overflow: default has all")


def test_the_fast_provider_keeps_enough_places_for_the_rest_including_the_turn_after_each_call() -> None:
    router = new_router()
    limit = router.provider_state("default").limit
    while limit.places < POLICY.concurrency_max:
        limit.coped(int(limit.places))
    now = crowd(router, seconds=2)
    fill(router, now)
    at_default, at_fallback = (router.provider_state(provider).in_flight for provider in PROVIDERS)
    fallback_seconds = router.provider_state("fallback").estimator.latency_seconds(now) + TURN_SECONDS
    assert at_default / (2 + TURN_SECONDS) + at_fallback / fallback_seconds >= ARRIVALS_PER_SECOND
    assert at_default > 0.9 * POLICY.concurrency_max, "and not many more"


def test_an_expensive_provider_that_is_as_slow_gets_no_overflow() -> None:
    router = new_router()
    now = crowd(router, seconds=5)
    for _ in range(60):
        router.provider_state("fallback").estimator.observe(success=True, seconds=6, now=now)
    fill(router, now)
    assert router.provider_state("fallback").in_flight == 0


def test_a_provider_that_refuses_payments_gets_fewer_at_once_and_its_circuit_stays_closed() -> None:
    router = new_router()
    fill(router)
    for _ in range(10):
        router.observe("default", "busy", NOW + 0.01, seconds=0.01)
    provider_state = router.provider_state("default")
    assert not provider_state.is_down
    assert provider_state.limit.places < 50
    assert provider_state.in_flight == 40


def test_with_both_down_nothing_is_taken_but_a_probe() -> None:
    router = new_router()
    take_down(router, "default")
    take_down(router, "fallback")
    assert router.room(NOW) == 0
    assert router.room(NOW + 0.5) in {1, 2}
    routed(router, NOW + 0.5)
    assert isinstance(decide(router, NOW + 0.5), Wait)


def test_health_that_has_turned_good_brings_the_next_probe_forward() -> None:
    router = new_router()
    take_down(router, "default")
    router.provider_state("default").breaker.until = NOW + 100
    assert isinstance(decide(router), Wait)
    assert router.room(NOW + 1) == 0
    router.observe_health("default", Health(failing=False, min_response_seconds=0.01), NOW + 1)
    assert router.room(NOW + 1) == 1


def test_an_attempt_in_doubt_waits_for_the_circuit_of_its_provider_and_takes_a_place() -> None:
    router = new_router()
    assert router.resend_pause_seconds("fallback", NOW) == 0
    assert not router.resend("fallback", NOW), "it is no probe"
    assert router.provider_state("fallback").in_flight == 1
    take_down(router, "fallback")
    assert router.resend_pause_seconds("fallback", NOW) > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"patience_seconds": 0},
        {"patience_seconds": float("nan")},
        {"concurrency_max": 1},
        {"failures_to_open": 0},
        {"probe_seconds_max": -1},
        {"memory_seconds": 0},
        {"outage_patience_seconds": 0},
    ],
)
def test_a_policy_value_out_of_range_is_refused_with_its_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).upper()):
        Policy(**wrong)  # type: ignore[arg-type]


OUTCOMES = st.sampled_from(["succeeded", "succeeded", "failed", "busy", "unanswered"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["decide", "decide", "decide", "end", "end", "withdraw", "health"]),
        st.sampled_from(PROVIDERS),
        OUTCOMES,
        st.floats(0, 3),
        st.integers(0, 60),
    ),
    max_size=120,
)


@settings(deadline=None)
@given(STEPS)
def test_whatever_happens_there_is_one_probe_at_most_places_are_bounded_and_reasons_given(
    steps: list[tuple[str, ProviderName, Outcome, float, int]],
) -> None:
    policy = Policy(patience_seconds=5, concurrency_max=8, failures_to_open=2, probe_seconds_max=1.0)
    router, now = Router(policy, Random(2)), NOW
    in_flight: dict[ProviderName, list[float]] = {"default": [], "fallback": []}
    probe_since: dict[ProviderName, float | None] = {"default": None, "fallback": None}
    for what, provider, outcome, seconds, number in steps:
        now += seconds / 10
        provider_state = router.provider_state(provider)
        if what == "decide":
            before = {name: router.provider_state(name).breaker.state for name in PROVIDERS}
            admitted = {name: router.provider_state(name).breaker.admits(now) for name in PROVIDERS}
            decision = router.decide(now, amount_cents=1990, waited_seconds=float(number))
            assert decision.why
            if isinstance(decision, Wait):
                assert 0 < decision.seconds <= 1
                continue
            assert admitted[decision.provider], "routed to an open circuit"
            if before[decision.provider] != "closed":
                since = probe_since[decision.provider]
                assert since is None or now - since >= 15, "two probes at once"
                probe_since[decision.provider] = now
            in_flight[decision.provider].append(now)
        elif what == "health":
            router.observe_health(provider, Health(failing=number % 2 == 0, min_response_seconds=seconds), now)
        elif in_flight[provider]:
            sent_at = in_flight[provider].pop()
            if what == "end":
                router.observe(provider, outcome, now, seconds=now - sent_at)
            else:
                router.withdraw(provider, now, seconds=now - sent_at)
            if provider_state.breaker.state != "half-open":
                probe_since[provider] = None
        for name in PROVIDERS:
            assert router.provider_state(name).in_flight == len(in_flight[name])
            assert 1 <= router.provider_state(name).limit.places <= policy.concurrency_max
        assert sum(map(len, in_flight.values())) <= policy.concurrency_max
        assert 0 <= router.room(now) <= policy.concurrency_max


@settings(deadline=None)
@given(STEPS, st.sampled_from(PROVIDERS))
def test_after_any_history_one_provider_that_works_again_charges_everything(
    steps: list[tuple[str, ProviderName, Outcome, float, int]], working: ProviderName
) -> None:
    policy = Policy(patience_seconds=5, concurrency_max=8, failures_to_open=2, probe_seconds_max=1.0)
    router, now = Router(policy, Random(3)), NOW
    for what, provider, outcome, seconds, number in steps:
        now += seconds / 10
        if what == "health":
            router.observe_health(provider, Health(failing=number % 2 == 0, min_response_seconds=seconds), now)
        elif isinstance(decision := router.decide(now, amount_cents=1, waited_seconds=float(number)), Route):
            router.observe(decision.provider, outcome, now, seconds=0.0)
    left, deadline = 200, now + 120
    while left:
        now += 0.05
        assert now < deadline, "starved"
        for _ in range(router.room(now)):
            decision = router.decide(now, amount_cents=1, waited_seconds=60.0)
            if isinstance(decision, Route):
                is_working = decision.provider == working
                router.observe(decision.provider, "succeeded" if is_working else "failed", now, seconds=0.0)
                left -= is_working
            if not left:
                break


def test_the_obstacle_names_the_state_of_both_providers() -> None:
    router = new_router(Policy(patience_seconds=20, concurrency_max=4, failures_to_open=3, probe_seconds_max=1.0))
    assert router.obstacle(NOW) == ""
    take_down(router, "default")
    assert router.obstacle(NOW + 3) == "default has been down for 3 s, and payments wait up to 20.0 s for it"
    take_down(router, "fallback", NOW + 1)
    assert router.obstacle(NOW + 5) == "default has been down for 5 s, fallback has been down for 4 s"


def test_the_obstacle_names_taken_places() -> None:
    router = new_router(Policy(patience_seconds=20, concurrency_max=4, failures_to_open=3, probe_seconds_max=1.0))
    places = fill(router)
    assert router.obstacle(NOW) == f"default has {places} of {places} places taken"


def both_down(router: Router) -> float:
    """Both providers fail. Returns when the expensive one may be probed; the cheap one has just failed a probe, too."""
    now = NOW
    for provider in ("default", "fallback"):
        for _ in range(20):
            router.provider_state(provider).send(now)
            router.observe(provider, "failed", now)
        assert router.provider_state(provider).is_down
    while not router.provider_state("fallback").breaker.admits(now):
        now += 0.01
    # The cheap one has just failed a probe, too.
    router.provider_state("default").send(now)
    router.observe("default", "failed", now)
    assert not router.provider_state("default").breaker.admits(now)
    return now


def recover(router: Router, provider: ProviderName, now: float) -> None:
    """A probe of the provider succeeds."""
    router.provider_state(provider).send(now)
    router.observe(provider, "succeeded", now, seconds=0.0)
    assert not router.provider_state(provider).is_down


def test_the_recovery_of_the_expensive_provider_lets_the_cheap_one_be_probed_at_once() -> None:
    router = new_router()
    now = both_down(router)
    recover(router, "fallback", now)
    assert router.provider_state("default").breaker.admits(now)


def test_after_the_recovery_of_the_expensive_provider_payments_wait_for_the_probe_of_the_cheap_one() -> None:
    router = new_router()
    now = both_down(router)
    recover(router, "fallback", now)
    assert "probe" in routed(router, now, waited_seconds=100).why
    waiting = decide(router, now, waited_seconds=100)
    assert isinstance(waiting, Wait)
    assert "fallback has recovered, so default is probed" in waiting.why
    router.observe("default", "succeeded", now + 0.1, seconds=0.1)
    assert routed(router, now + 0.1, waited_seconds=100).provider == "default"


def test_a_failed_probe_of_the_cheap_provider_ends_that_wait() -> None:
    router = new_router()
    now = both_down(router)
    recover(router, "fallback", now)
    routed(router, now, waited_seconds=100)
    router.observe("default", "failed", now + 0.1, seconds=0.1)
    assert routed(router, now + 0.1, waited_seconds=100).provider == "fallback"


def test_the_outcome_of_a_probe_from_before_the_recovery_does_not_end_that_wait() -> None:
    router = new_router()
    now = both_down(router)
    while not router.provider_state("default").breaker.admits(now):
        now += 0.01
    router.provider_state("default").send(now)
    recover(router, "fallback", now + 0.5)
    router.observe("default", "failed", now + 0.6, seconds=0.6)
    assert isinstance(decide(router, now + 0.6, waited_seconds=100), Wait)


def test_that_wait_is_bounded() -> None:
    router = new_router()
    now = both_down(router)
    recover(router, "fallback", now)
    routed(router, now, waited_seconds=100)
    assert isinstance(decide(router, now + RECHECK_SECONDS - 0.1, waited_seconds=100), Wait)
    assert routed(router, now + RECHECK_SECONDS, waited_seconds=100).provider == "fallback"


def test_the_patience_in_an_outage_can_differ_from_that_with_a_slow_provider() -> None:
    router = new_router(Policy(patience_seconds=1.5, outage_patience_seconds=15))
    router.observe_health("default", Health(failing=False, min_response_seconds=2.0), NOW)
    assert routed(router).provider == "fallback"
    take_down(router, "default")
    assert isinstance(decide(router, NOW, waited_seconds=10), Wait)
    assert routed(router, NOW, waited_seconds=15).provider == "fallback"


def test_each_opening_and_closing_of_a_circuit_breaker_is_reported_once_with_its_cause() -> None:
    reports: list[tuple[str, str, str]] = []
    router = Router(POLICY, Random(1), lambda provider, change, text: reports.append((provider, change, text)))
    for _ in range(POLICY.failures_to_open + 1):
        routed(router)
    for _ in range(POLICY.failures_to_open + 1):
        router.observe("default", "failed", NOW, seconds=0.0)
    assert reports == [("default", "opened", "opened: 3 failures in a row")]
    take_down(router, "fallback")
    take_down(router, "fallback")
    assert reports[1:] == [("fallback", "opened", "opened: its health is failing")]
    routed(router, NOW + 2)
    router.observe("default", "succeeded", NOW + 2, seconds=0.0)
    assert reports[2:] == [("default", "closed", "closed after 2.0 s")]
