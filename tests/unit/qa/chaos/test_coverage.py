"""The coverage of a run is counted from its history and program logs."""

import random
import time
from dataclasses import fields

from qa.chaos.clock import moment_of
from qa.chaos.counters import Counters
from qa.chaos.coverage import SOMETIMES_IN_A_CLUSTER, count
from qa.chaos.faults import Done
from qa.chaos.history import Asked, History, Logged, Request, Try
from qa.chaos.plan import Fault
from qa.chaos.proxy import Mode
from qa.load.provider_records import Summary, Totals
from qa.load.window import check_window
from tollgate.contract.events import PaymentInDoubt, PaymentProcessed, PaymentRejected, PaymentReleased, PaymentRouted
from tollgate.processor.routing import Policy, Route, Router
from tollgate.simulator.state import Stats

A, B = "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"
T0 = 1_795_258_780_000_000


def logged(*events: object) -> list[Logged]:
    return [Logged(number, T0, event) for number, event in enumerate(events, start=1)]  # type: ignore[arg-type]


def reason_of_a_route(router: Router, now: float) -> str:
    decision = router.decide(now, amount_cents=1990, waited_seconds=60.0)
    assert isinstance(decision, Route)
    return decision.why


def test_the_router_s_own_words_tell_of_a_circuit_and_of_a_probe() -> None:
    policy = Policy(patience_seconds=0.1, failures_to_open=1)
    now = time.monotonic()
    router = Router(policy, random.Random(1))
    router.decide(now, amount_cents=1990, waited_seconds=0.0)
    router.observe("default", "failed", now, seconds=0.1)
    away = PaymentRouted(A, 1990, 1, "fallback", T0, reason_of_a_route(router, now))
    probe = PaymentRouted(B, 1990, 1, "default", T0, reason_of_a_route(router, now + 60))
    found = count(History(log=logged(away, probe)), [], {}, 0, Counters())
    assert (found["fallback used"], found["breaker open"], found["half-open probe"]) == (1, 2, 1)


def test_everything_that_can_be_reached_is_counted() -> None:
    history = History(
        requests=[
            Request(
                A, 1, "first", [Try(T0, T0 + 5, None, "reset"), Try(T0 + 6, T0 + 9, 503), Try(T0, T0 + 10, 202)], "ok"
            ),
            Request(A, 1, "repeat", [Try(T0 + 11, T0 + 12, 202)], "ok"),
            Request(A, 2, "conflict", [Try(T0 + 11, T0 + 12, 409)], "refused"),
        ],
        log=logged(
            PaymentRouted(A, 1, 1, "default", T0, "cheapest"),
            # The same intent, stored twice, and another replica's.
            PaymentRouted(A, 1, 1, "default", T0, "cheapest"),
            PaymentRouted(A, 1, 1, "default", T0 + 1, "cheapest"),
            PaymentReleased(A, 1, "default", "refused"),
            PaymentRouted(A, 1, 2, "fallback", T0, "default is down"),
            PaymentInDoubt(A, 2, "fallback", "found open in the log"),
            PaymentProcessed(A, 1, 2, "fallback", T0, T0),
            PaymentRouted(B, 1, 1, "default", T0, "probe: default has been down for 1.0 s"),
            PaymentRejected(B, 1, "403", 1),
        ),
        asked=[
            Asked(check_window(moment_of(T0)), T0, 503),
            Asked(check_window(moment_of(T0)), T0, 200, Summary(Totals(), Totals()), settled=True),
            Asked(check_window(moment_of(T0)), T0, 200, Summary(Totals(), Totals())),
        ],
    )
    kills = ("gateway-1", "processor-2", "projector", "caddy", "simulator-default")
    done = [
        *(Done(Fault(1.0, "kill", target), took=True) for target in kills),
        Done(Fault(1.0, "kill", "caddy"), took=False),
        Done(Fault(1.0, "stop", "caddy", 1.0), took=True),
        Done(Fault(1.0, "link", "caddy-gateway-1", 1.0, Mode.CUT), took=True),
        Done(Fault(1.0, "kill", "leader"), took=True, target="nats-2"),
        Done(Fault(1.0, "stop", "leader", 1.0), took=True, target="nats-1"),
        Done(Fault(1.0, "link", "leader-routes", 1.0, Mode.CUT), took=True, target="nats-3-routes"),
    ]
    said = {
        "gateway-1": "lost the connection to the broker",
        "projector-2": "this projector answers questions from now on\n" * 2,
        "processor-2": "lost the connection to the broker\nreading the log is interrupted: x",
    }
    counters = Counters()
    counters.note("default", dict.fromkeys((one.name for one in fields(Stats)), 1))
    found = count(history, done, said, redelivered=1, counters=counters)
    assert found == dict.fromkeys(SOMETIMES_IN_A_CLUSTER, 1) | {
        "breaker open": 2,
        "program stopped": 2,
        "link cut": 2,
    }


def test_what_a_simulator_counted_before_it_was_killed_is_counted_too() -> None:
    counters = Counters()
    counters.note("default", {"lookups": 5, "running": 3})
    counters.note("default", {"lookups": 7, "running": 0})
    counters.note("default", {"lookups": 2, "running": 1})
    counters.note("fallback", {"lookups": 1})
    assert counters.total("lookups") == 10
