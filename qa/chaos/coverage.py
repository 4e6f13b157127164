"""The coverage of a run: which situations it reached. Without it a clean verdict may mean that nothing happened."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from qa.chaos.check import Ledger
from qa.chaos.cluster import BROKERS, LEADER, PROJECTORS
from qa.chaos.counters import Counters
from qa.chaos.faults import Done
from qa.chaos.history import History
from qa.chaos.plan import BROKER, GATEWAYS, PROCESSORS, SIMULATORS
from tollgate.contract.events import PaymentInDoubt, PaymentReleased, PaymentRouted

_COUNTED = {
    "5xx of a proxy": "proxy_errors",
    "charged behind a proxy": "charges_behind_proxy",
    "401 or 403 of a token": "proxy_expired_tokens",
    "404 of an ingress": "proxy_no_routes",
    "other 4xx of a proxy": "proxy_refusals",
    "page for people": "proxy_pages",
    "refused for good": "own_refusals",
    "lookup: 404 of an ingress": "lookup_no_routes",
    "lookup: 429": "lookups_refused",
    "lookup: lagging replica": "lookups_lagging",
    "health as 503": "health_503",
}
"""What the simulators did to payments, lookups and health calls, with the name of its count in their /admin/stats."""

SOMETIMES = {
    "fallback used": "PaymentRouted to the fallback",
    "breaker open": "an intent whose reason is that a provider is down",
    "half-open probe": "an intent that probes whether it works again",
    "released": "PaymentReleased",
    "doubt": "PaymentInDoubt",
    "doubt, then charged": "a payment in doubt that was found or charged after all",
    "taken over": "an attempt found open in the log, by another process or a later delivery",
    "intent void": "an intent of an attempt that another replica had recorded before",
    "redelivered": "deliveries beyond the first of each request",
    "two attempts": "payments that were routed more than once",
    "rejected": "PaymentRejected",
    "gateway without broker": "a gateway lost its connection to the broker",
    "processor without broker": "a processor lost it",
    "reader made anew": "a reader of the log created a new consumer after a gap or a silence",
    "503 to a client": "answers",
    "repeat answered": "202 to a payment that was accepted before",
    "conflict refused": "409",
    "client without an answer": "attempts",
    "summary not settled": "answers",
    "summary settled": "answers about windows that had passed",
    "summary refused": "503",
    "broker killed": "",
    "gateway killed": "",
    "processor killed": "",
    "projector killed": "",
    "edge killed": "",
    "payment processor killed": "",
    "program stopped": "SIGSTOP",
    "link cut": "reset, refused, stalled, slow or answered in place",
    **dict.fromkeys(_COUNTED, "counted by the simulators"),
}
"""Each must be reached by at least one run of a suite. docs/explanation/evidence.md explains each."""

LEADER_KILLED = "leader killed"
SOMETIMES_IN_A_CLUSTER = {
    **SOMETIMES,
    LEADER_KILLED: "of the log, by SIGKILL",
    "leader stopped": "SIGSTOP",
    "leader cut off": "from the other brokers, or from all",
    "standby answered": "a projector took the place of the other",
}
"""The same for runs on three brokers."""

_LOST = "lost the connection to the broker"
_TURN = "this projector answers questions from now on"
_ANEW = re.compile(r"consumer is (made anew|silent)|reading the log is interrupted")
_DOWN = re.compile(r"\b(is|been) down\b")


def count(
    history: History, done: Sequence[Done], said: Mapping[str, str], redelivered: int, counters: Counters
) -> dict[str, int]:
    """How often each of SOMETIMES was reached."""
    statuses = [tried.status for request in history.requests for tried in request.tries]
    return {
        **_in_the_log(history),
        "redelivered": redelivered,
        "gateway without broker": sum(text.count(_LOST) for name, text in said.items() if name in GATEWAYS),
        "processor without broker": sum(text.count(_LOST) for name, text in said.items() if name in PROCESSORS),
        "reader made anew": sum(len(_ANEW.findall(text)) for text in said.values()),
        "503 to a client": statuses.count(HTTPStatus.SERVICE_UNAVAILABLE),
        "repeat answered": _repeats(history),
        "conflict refused": statuses.count(HTTPStatus.CONFLICT),
        "client without an answer": statuses.count(None),
        "summary not settled": sum(asked.summary is not None and not asked.settled for asked in history.asked),
        "summary settled": sum(asked.summary is not None and asked.settled for asked in history.asked),
        "summary refused": sum(asked.summary is None for asked in history.asked),
        **_injected(done),
        # One of two projectors begins.
        "standby answered": max(sum(text.count(_TURN) for text in said.values()) - 1, 0),
        **{name: counters.total(counted) for name, counted in _COUNTED.items()},
    }


def _in_the_log(history: History) -> dict[str, int]:
    ledger = Ledger.of(history)
    routed = [logged.event for logged in history.log if isinstance(logged.event, PaymentRouted)]
    doubts = [logged.event for logged in history.log if isinstance(logged.event, PaymentInDoubt)]
    doubted = {event.correlation_id for event in doubts}
    return {
        "fallback used": sum(event.provider == "fallback" for event in routed),
        "breaker open": sum(bool(_DOWN.search(event.why)) for event in routed),
        "half-open probe": sum(event.why.startswith("probe:") for event in routed),
        "released": sum(isinstance(logged.event, PaymentReleased) for logged in history.log),
        "doubt": len(doubts),
        "doubt, then charged": len(doubted & ledger.processed.keys()),
        # An intent that was stored twice, after an acknowledgement was lost, is the same one.
        "intent void": len(
            {(event.correlation_id, event.attempt, event.provider, event.requested_at_us) for event in routed}
        )
        - len({(event.correlation_id, event.attempt) for event in routed}),
        "taken over": sum("found open" in event.why for event in doubts),
        "two attempts": len({event.correlation_id for event in routed if event.attempt > 1}),
        "rejected": len(ledger.rejected),
    }


def _repeats(history: History) -> int:
    """Requests answered 202 after another request of the same payment was."""
    accepted: dict[str, list[int]] = {}
    for request in history.requests:
        if request.outcome == "ok":
            accepted.setdefault(request.payment_id, []).append(request.tries[-1].answered_at_us)
    return sum(
        sum(request.tries[0].sent_at_us > first for first in accepted[request.payment_id])
        for request in history.requests
        if request.outcome == "ok" and request.tries
    )


def _injected(done: Sequence[Done]) -> dict[str, int]:
    took = [one.fault for one in done if one.took]
    killed = Counter(one.target or one.fault.target for one in done if one.took and one.fault.kind == "kill")
    of_the_leader = Counter(one.fault.kind for one in done if one.took and one.fault.target.startswith(LEADER))
    return {
        LEADER_KILLED: of_the_leader["kill"],
        "leader stopped": of_the_leader["stop"],
        "leader cut off": of_the_leader["link"],
        "broker killed": sum(killed[name] for name in (BROKER, *BROKERS)),
        "gateway killed": sum(killed[name] for name in GATEWAYS),
        "processor killed": sum(killed[name] for name in PROCESSORS),
        "projector killed": sum(killed[name] for name in PROJECTORS),
        "edge killed": killed["caddy"],
        "payment processor killed": sum(killed[name] for name in SIMULATORS),
        "program stopped": sum(fault.kind == "stop" for fault in took),
        "link cut": sum(fault.kind == "link" for fault in took),
    }
