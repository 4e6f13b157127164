"""Doubts beside new payments: their own places and pace, and the probes of a provider that is down."""

from random import Random

import pytest

from tollgate.contract.events import ProviderName
from tollgate.processor.health.report import Health
from tollgate.processor.routing import Outcome, Pace, Policy, Route, Router, Wait
from tollgate.processor.routing import pace as pace_module
from tollgate.processor.routing.pace import PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN, START
from tollgate.processor.routing.probing import GRACE_SECONDS_MAX, GRACE_SECONDS_MIN
from tollgate.processor.routing.provider_state import DOUBTS_SHARE, RESEND_PAUSE_SECONDS

NOW = 1000.0
POLICY = Policy(patience_seconds=20, concurrency_max=160, failures_to_open=3, probe_seconds_max=1.0)
PLACES = 80
"""At each provider, to begin with."""


def new_router() -> Router:
    return Router(POLICY, Random(1))


def take_down(router: Router, provider: ProviderName = "default", now: float = NOW) -> float:
    """When the first probe is due."""
    router.observe_health(provider, Health(failing=True, min_response_seconds=0.0), now)
    assert router.provider_state(provider).is_down
    return router.provider_state(provider).breaker.due_at


def may_probe_with_a_new_payment(router: Router, now: float) -> bool:
    return router.provider_state("default").free(now, PLACES) == 1


def probe_with_a_new_payment(router: Router, now: float, outcome: Outcome = "unanswered") -> float:
    """When the next probe is due."""
    decision = router.decide(now, amount_cents=1990, waited_seconds=0.0)
    assert isinstance(decision, Route), decision
    assert decision.why.startswith("probe")
    router.observe("default", outcome, now, seconds=0.0)
    return router.provider_state("default").breaker.due_at


def probe_with_a_doubt(router: Router, now: float, outcome: Outcome = "unanswered") -> float:
    """When the next probe is due."""
    assert router.room_for_doubts("default", 0, now) == 1
    assert router.resend_pause_seconds("default", now) == 0
    assert router.resend("default", now), "it is the probe"
    router.observe_resend("default", outcome, now, seconds=0.0)
    return router.provider_state("default").breaker.due_at


def test_while_a_provider_is_down_one_doubt_is_taken_when_a_probe_is_due_and_none_before() -> None:
    router = new_router()
    router.observe_doubts("default", are_there=True)
    due = take_down(router)
    assert router.room_for_doubts("default", 0, due - 0.01) == 0
    assert router.room_for_doubts("default", 0, due) == 1
    assert router.room_for_doubts("default", 1, due) == 0, "the one that is in hand is the probe"
    assert router.resend("default", due)
    assert router.room_for_doubts("default", 1, due + 1) == 0, "it is under way"


def test_doubts_probe_and_new_payments_do_not_while_there_are_doubts() -> None:
    router = new_router()
    router.observe_doubts("default", are_there=True)
    due = take_down(router)
    for _ in range(20):
        assert not may_probe_with_a_new_payment(router, due)
        assert isinstance(router.decide(due, amount_cents=1, waited_seconds=0.0), Wait)
        due = probe_with_a_doubt(router, due)
    assert probe_with_a_doubt(router, due, "succeeded") <= due
    assert not router.provider_state("default").is_down, "a doubt that is answered closes the circuit"


def test_without_a_doubt_a_new_payment_is_the_probe_at_once() -> None:
    router = new_router()
    due = take_down(router)
    assert may_probe_with_a_new_payment(router, due)
    router.observe_doubts("default", are_there=True)
    assert not may_probe_with_a_new_payment(router, due)
    router.observe_doubts("default", are_there=False)
    probe_with_a_new_payment(router, due)


def test_doubts_whose_lookups_fail_leave_the_probe_to_a_new_payment_soon_and_later_each_time() -> None:
    """Their lookups fail, so that they take no place."""
    router = new_router()
    router.observe_doubts("default", are_there=True)
    due, waits = take_down(router), []
    for _ in range(7):
        now = due
        while not may_probe_with_a_new_payment(router, now):
            router.doubt_stays("default", now)
            now += 0.25
        waits.append(now - due)
        due = probe_with_a_new_payment(router, now)
    assert waits[0] == pytest.approx(GRACE_SECONDS_MIN, abs=0.25)
    assert waits[1] == pytest.approx(2 * GRACE_SECONDS_MIN, abs=0.25)
    assert waits[-1] == pytest.approx(GRACE_SECONDS_MAX, abs=1.5)


def test_a_new_payment_probes_now_and_then_although_doubts_probe_because_only_the_doubts_may_fail() -> None:
    router = new_router()
    router.observe_doubts("default", are_there=True)
    due, began = take_down(router), NOW
    while not may_probe_with_a_new_payment(router, due):
        due = probe_with_a_doubt(router, due)
        assert due < began + GRACE_SECONDS_MAX + 2, "the provider works for all but these doubts, and is never found up"
    assert due >= began + GRACE_SECONDS_MAX - 1
    probe_with_a_new_payment(router, due, "succeeded")
    assert not router.provider_state("default").is_down


def test_after_a_doubt_withdraws_its_probe_the_next_doubt_probes_at_once() -> None:
    router = new_router()
    router.observe_doubts("default", are_there=True)
    due = take_down(router)
    assert router.resend("default", due)
    router.withdraw_resend("default", due + 0.1, seconds=0.1)
    assert router.provider_state("default").in_flight == router.provider_state("default").resent == 0
    assert router.room_for_doubts("default", 0, due + 0.1) == 1
    assert may_probe_with_a_new_payment(router, due + GRACE_SECONDS_MIN), "it has been due since it was first"


def test_a_provider_with_many_doubts_is_probed_by_one_of_them_when_a_replica_starts() -> None:
    router = new_router()
    router.observe_waiting_doubts("default", POLICY.failures_to_open - 1, NOW)
    assert not router.provider_state("default").is_down
    router.observe_waiting_doubts("default", POLICY.failures_to_open, NOW)
    due = router.provider_state("default").breaker.due_at
    assert router.provider_state("default").is_down
    assert router.room_for_doubts("default", 0, due) == 1
    assert not may_probe_with_a_new_payment(router, due)
    assert due - NOW <= POLICY.probe_seconds_max / 8
    probe_with_a_doubt(router, due, "succeeded")
    assert not router.provider_state("default").is_down


@pytest.mark.parametrize("probes", ["doubts", "new payments"])
def test_an_outage_in_which_no_probe_was_answered_leaves_a_provider_its_places(probes: str) -> None:
    """Else doubts, which get a share of them, would end one by one, and new payments go to the other provider."""
    router = new_router()
    due = take_down(router)
    for _ in range(20):
        due = probe_with_a_doubt(router, due) if probes == "doubts" else probe_with_a_new_payment(router, due)
    probe_with_a_new_payment(router, due, "succeeded")
    assert not router.provider_state("default").is_down
    assert router.provider_state("default").limit.places >= PLACES
    assert router.room_for_doubts("default", 0, due + 1) > 1


def test_doubts_take_a_share_of_the_places_and_no_more() -> None:
    router = new_router()
    share = int(PLACES * DOUBTS_SHARE)
    for _ in range(pace_module.MAX):
        router.doubt_ended("default")
    assert router.room_for_doubts("default", 0, NOW) == share
    for _ in range(share):
        assert router.resend_pause_seconds("default", NOW) == 0
        assert not router.resend("default", NOW)
    assert router.room_for_doubts("default", share, NOW) == 0
    assert router.resend_pause_seconds("default", NOW) == RESEND_PAUSE_SECONDS
    assert router.provider_state("default").free(NOW, PLACES) == PLACES - share, "the rest is left to new payments"
    router.observe_resend("default", "succeeded", NOW, seconds=0.0)
    assert router.resend_pause_seconds("default", NOW) == 0


def test_failing_lookups_do_not_change_where_new_payments_are_routed() -> None:
    router = new_router()
    for _ in range(1_000):
        router.doubt_stays("default", NOW)
    decision = router.decide(NOW, amount_cents=1990, waited_seconds=0.0)
    assert isinstance(decision, Route)
    assert decision.provider == "default"
    assert not router.provider_state("default").is_down


def test_doubts_that_are_never_answered_open_no_circuit_and_take_no_places() -> None:
    router = new_router()
    places = router.provider_state("default").limit.places
    for _ in range(100):
        assert not router.resend("default", NOW)
        router.observe_resend("default", "unanswered", NOW + 15, seconds=15.0)
    assert not router.provider_state("default").is_down
    assert router.provider_state("default").limit.places == places
    assert router.provider_state("default").in_flight == router.provider_state("default").resent == 0


@pytest.mark.parametrize("outcome", ["failed", "succeeded"])
def test_the_answer_to_a_doubt_counts_like_the_answer_to_any_payment(outcome: Outcome) -> None:
    router = new_router()
    for _ in range(POLICY.failures_to_open):
        assert not router.resend("default", NOW)
        router.observe_resend("default", outcome, NOW, seconds=0.0)
    assert router.provider_state("default").is_down == (outcome == "failed")


def test_the_pace_rises_with_doubts_that_end_and_falls_with_doubts_that_stay() -> None:
    pace = Pace()
    assert pace.room(0, NOW) == START
    pace.ended()
    assert pace.room(0, NOW) == START + 1
    now, pauses = NOW, []
    for _ in range(10):
        pace.stays(now)
        pauses.append(pace.pause_seconds)
        assert pace.room(0, now) == 0
        now += pace.pause_seconds
        assert pace.room(0, now) == pace.at_once
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1], pace.at_once) == (PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX, 1)
    for _ in range(1_000):
        pace.ended()
    assert pace.room(0, now) == pace_module.MAX
    assert pace.room(pace_module.MAX + 1, now) == 0


def test_doubts_that_stay_within_one_pause_lower_the_pace_once() -> None:
    pace = Pace()
    for _ in range(20):
        pace.stays(NOW)
    assert (pace.at_once, pace.pause_seconds) == (START // 2, PAUSE_SECONDS_MIN)
