"""The state of one provider for the router: whether it may be called, how many calls at once, and what to expect.

New payments are sent; attempts in doubt are resent. Resent attempts may take a share of the places, and are weaker
evidence about the provider: they are selected for having failed before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tollgate.contract.events import ProviderName
from tollgate.contract.fees import FEE_BASIS_POINTS
from tollgate.processor.health.report import Health
from tollgate.processor.routing.circuit_breaker import CircuitBreaker
from tollgate.processor.routing.concurrency_limit import ConcurrencyLimit
from tollgate.processor.routing.estimator import Estimator
from tollgate.processor.routing.pace import Pace
from tollgate.processor.routing.policy import Policy
from tollgate.processor.routing.probing import Probing

Outcome = Literal["succeeded", "failed", "busy", "unanswered"]
"""What a call shows about the provider: it works; it fails; it takes no more at present; it did not answer in time."""

BreakerChange = Literal["opened", "closed"]
OnBreaker = Callable[[ProviderName, BreakerChange, str], None]
"""Is called when a provider's circuit breaker has opened or closed, with a text that names which and why."""

DOUBTS_SHARE = 1 / 8
"""The share of the places that doubts may take from new payments."""
RESEND_PAUSE_SECONDS = 0.25
"""The pause of a doubt that finds those places taken."""


def ignore_breaker(_: ProviderName, __: BreakerChange, ___: str) -> None:
    """For those who need no report of circuit breakers."""


@dataclass(slots=True, eq=False)
class ProviderState:
    """Times are monotonic seconds."""

    provider: ProviderName
    policy: Policy
    on_breaker: OnBreaker = ignore_breaker
    in_flight: int = 0
    resent: int = 0
    """How many of those in flight are attempts in doubt."""
    breaker: CircuitBreaker = field(init=False)
    limit: ConcurrencyLimit = field(init=False)
    estimator: Estimator = field(init=False)
    pace: Pace = field(init=False)
    probing: Probing = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(self.policy.failures_to_open, self.policy.probe_seconds_max)
        self.limit = ConcurrencyLimit(self.policy.concurrency_max)
        self.estimator = Estimator(self.policy.memory_seconds)
        self.pace = Pace()
        self.probing = Probing()

    @property
    def fee_basis_points(self) -> int:
        return FEE_BASIS_POINTS[self.provider]

    @property
    def condition(self) -> str:
        """Why it takes no payment, in one word."""
        return "full" if self.breaker.is_closed else "down"

    def obstacle(self, now: float) -> str:
        """Why it takes no payment, with figures."""
        if self.breaker.is_closed:
            return f"{self.provider} has {self.in_flight} of {int(self.limit.places)} places taken"
        return f"{self.provider} has been down for {now - self.breaker.down_since:.0f} s"

    def may_be_asked(self, now: float) -> bool:
        """Whether it takes payments, or a probe is due or under way."""
        return self.breaker.state != "open" or self.breaker.admits(now)

    @property
    def is_down(self) -> bool:
        return not self.breaker.is_closed

    def free(self, now: float, places_max: float) -> int:
        """How many new payments could be sent now, when no more than `places_max` may be under way."""
        if not self.breaker.is_closed:
            return int(self.breaker.admits(now) and self.probing.is_for_new_payments(self.breaker.due_at, now))
        return max(int(min(self.limit.places, places_max)) - self.in_flight, 0)

    def send(self, now: float) -> None:
        """A new payment takes a place."""
        if not self.breaker.is_closed:
            self.probing.new_payment_probes(now)
        self.breaker.admit(now)
        self.in_flight += 1

    def withdraw(self, seconds: float, now: float) -> None:
        """A payment that took a place `seconds` ago was not sent after all."""
        self.in_flight -= 1
        self.breaker.withdraw(now - seconds, now)

    def observe(self, outcome: Outcome, seconds: float | None, now: float) -> None:
        """A call that took a place has ended, after `seconds` (None: not known)."""
        sent_at = now if seconds is None else now - seconds
        if outcome == "succeeded":
            self.limit.coped(self.in_flight)
            self._succeed(sent_at, now)
        else:
            is_exhausted = self.limit.is_least
            # A single probe without an answer is no evidence of how many at once would be too many.
            if outcome != "failed" and self.breaker.is_closed:
                self.limit.refused(self.in_flight, sent_at, now)
            # A busy provider is not down, unless it refuses a single payment.
            if outcome != "busy" or is_exhausted or not self.breaker.is_closed:
                self._fail(sent_at, now)
        if outcome != "busy":
            self.estimator.observe(success=outcome == "succeeded", seconds=seconds, now=now)
        self.in_flight -= 1

    # Doubts.

    def room_for_doubts(self, in_hand: int, now: float) -> int:
        """How many more doubts may be taken from their queue, while `in_hand` are in hand."""
        if self.breaker.is_closed:
            return max(min(self.pace.room(in_hand, now), self._doubts_max - in_hand), 0)
        # One at a time: it is the probe, unless it is never sent. Those that were sent before do not count.
        unsent = in_hand - self.resent
        return min(self.pace.room(unsent, now), 1) if unsent <= 0 and self.breaker.admits(now) else 0

    def resend_pause_seconds(self, now: float) -> float:
        """The shortest wait before an attempt in doubt is sent again; 0 when it may be sent now."""
        if not self.breaker.is_closed:
            return 0.0 if self.breaker.admits(now) else self.breaker.until - now
        return 0.0 if self.resent < self._doubts_max else RESEND_PAUSE_SECONDS

    def resend(self, now: float) -> bool:
        """An attempt in doubt takes a place. True if it is the probe."""
        self.breaker.admit(now)
        self.in_flight += 1
        self.resent += 1
        return not self.breaker.is_closed

    def withdraw_resend(self, seconds: float, now: float) -> None:
        """An attempt in doubt that took a place `seconds` ago was not sent after all."""
        self.resent -= 1
        self.withdraw(seconds, now)

    def observe_resend(self, outcome: Outcome, seconds: float, now: float) -> None:
        """The sending of an attempt in doubt has ended."""
        self.resent -= 1
        if outcome == "unanswered" and self.breaker.is_closed:
            # The cause may be this payment, not the provider.
            self.in_flight -= 1
            return
        self.observe(outcome, seconds, now)

    def suspect(self, now: float) -> None:
        """It has so many doubts that it may be down: a doubt probes it before new payments become doubts, too."""
        self.probing.has_doubts = True
        if self.breaker.is_closed:
            self._trip("so many doubts wait", now)

    @property
    def _doubts_max(self) -> int:
        return max(int(self.limit.places * DOUBTS_SHARE), 1)

    # Health.

    def observe_health(self, health: Health, now: float) -> None:
        """Its health endpoint answered. Good health closes no circuit: only a successful probe does."""
        if not health.failing:
            self.estimator.observe_health(health.min_response_seconds, now)
            self.breaker.probe_soon(now)
        elif self.breaker.is_closed:
            self._trip("its health is failing", now)

    def _succeed(self, sent_at: float, now: float) -> None:
        was_closed = self.breaker.is_closed
        self.breaker.succeeded(sent_at, now)
        if not was_closed and self.breaker.is_closed:
            self.on_breaker(self.provider, "closed", f"closed after {now - self.breaker.down_since:.1f} s")

    def _fail(self, sent_at: float, now: float) -> None:
        was_closed = self.breaker.is_closed
        self.breaker.failed(sent_at, now)
        if was_closed and not self.breaker.is_closed:
            self._opened(f"{self.policy.failures_to_open} failures in a row", now)

    def _trip(self, why: str, now: float) -> None:
        self.breaker.trip(now)
        self._opened(why, now)

    def _opened(self, why: str, now: float) -> None:
        self.on_breaker(self.provider, "opened", f"opened: {why}")
        self.limit.restart()
        self.probing.opened(now)
