"""The strategies of a run: the product's own router, and simple rules to compare it with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Protocol

from tollgate.contract.events import ProviderName
from tollgate.contract.fees import OTHER
from tollgate.processor.health.report import Health
from tollgate.processor.routing import Decision, Outcome, Policy, Route, Router, Wait


class Strategy(Protocol):
    """The router's interface, with the providers at which the payment has failed in this delivery."""

    call_seconds_max: float
    """Time after which a call is abandoned and the payment may go to the other provider. Infinite: never."""

    def room(self, now: float) -> int: ...
    def decide(
        self, now: float, *, amount_cents: int, waited_seconds: float, failed_at: ProviderName | None
    ) -> Decision: ...
    def observe(
        self, provider: ProviderName, outcome: Outcome, now: float, *, seconds: float | None = None
    ) -> None: ...
    def observe_health(self, provider: ProviderName, health: Health, now: float) -> None: ...
    def observe_delivery(
        self, *, delivered: int, pending: int, payments: int, is_redelivery: bool, now: float
    ) -> None: ...


class Tollgate(Router):
    """The product's router, unchanged."""

    call_seconds_max = inf

    def __init__(self, policy: Policy, seed: int) -> None:
        super().__init__(policy, Random(seed))  # noqa: S311 - chance to be replayed, no secrets

    def decide(  # type: ignore[override]
        self, now: float, *, amount_cents: int, waited_seconds: float, failed_at: ProviderName | None
    ) -> Decision:
        del failed_at  # the router has circuit breakers
        return super().decide(now, amount_cents=amount_cents, waited_seconds=waited_seconds)


Rule = Callable[[dict[ProviderName, Health], ProviderName | None], ProviderName | None]
"""(last reported health, providers that just failed) -> provider to charge at; None to wait."""

WAIT_SECONDS = 0.5


@dataclass(slots=True)
class RuleOfThumb:
    """A rule as in entries of the Rinha benchmark: its only state is the last reported health."""

    rule: Rule
    concurrency_max: int
    call_seconds_max: float = inf
    _health: dict[ProviderName, Health] = field(
        default_factory=lambda: {"default": Health(False, 0.0), "fallback": Health(False, 0.0)}
    )
    _in_flight: int = 0

    def room(self, now: float) -> int:
        del now
        return self.concurrency_max - self._in_flight

    def decide(
        self, now: float, *, amount_cents: int, waited_seconds: float, failed_at: ProviderName | None
    ) -> Decision:
        del now, amount_cents, waited_seconds
        provider = self.rule(self._health, failed_at)
        if provider is None:
            return Wait(WAIT_SECONDS, "the rule says so")
        self._in_flight += 1
        return Route(provider, "the rule says so")

    def observe(self, provider: ProviderName, outcome: Outcome, now: float, *, seconds: float | None = None) -> None:
        del provider, outcome, now, seconds
        self._in_flight -= 1

    def observe_health(self, provider: ProviderName, health: Health, now: float) -> None:
        del now
        self._health[provider] = health

    def observe_delivery(self, *, delivered: int, pending: int, payments: int, is_redelivery: bool, now: float) -> None:
        """Does nothing: the rule does not use the queue."""


def default_only(_: dict[ProviderName, Health], failed_at: ProviderName | None) -> ProviderName | None:
    return None if failed_at else "default"


def fallback_on_failure(_: dict[ProviderName, Health], failed_at: ProviderName | None) -> ProviderName | None:
    return OTHER[failed_at] if failed_at else "default"


def winner(health: dict[ProviderName, Health], failed_at: ProviderName | None) -> ProviderName | None:
    """The rule of the benchmark's winner: default under 120 ms, else fallback if healthy and three times as fast."""
    if failed_at:
        return None
    default, fallback = health["default"], health["fallback"]
    if not default.failing and default.min_response_seconds < 0.12:  # noqa: PLR2004
        return "default"
    if not fallback.failing and fallback.min_response_seconds * 3 < default.min_response_seconds:
        return "fallback"
    return None if default.failing else "default"


def first_healthy(health: dict[ProviderName, Health], failed_at: ProviderName | None) -> ProviderName | None:
    """The first provider that is reported healthy."""
    if failed_at or (health["default"].failing and health["fallback"].failing):
        return None
    return "fallback" if health["default"].failing else "default"


def strategies(policy: Policy, seed: int) -> dict[str, Strategy]:
    """New instances of every strategy by name, for one run."""
    places = policy.concurrency_max
    return {
        "tollgate": Tollgate(policy, seed),
        "default only": RuleOfThumb(default_only, places),
        "fallback on failure": RuleOfThumb(fallback_on_failure, places),
        "the winner's rule": RuleOfThumb(winner, places),
        "first healthy": RuleOfThumb(first_healthy, places),
        "fallback after 300 ms": RuleOfThumb(fallback_on_failure, places, call_seconds_max=0.3),
        "fallback after 3 s": RuleOfThumb(fallback_on_failure, places, call_seconds_max=3.0),
    }
