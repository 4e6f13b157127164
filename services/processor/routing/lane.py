"""One payment processor as the router sees it: whether it may be asked, how much at once, and what to expect of it."""

from dataclasses import dataclass, field
from typing import Literal

from contract.events import ProcessorName
from processor.fees import FEE_BASIS_POINTS
from processor.health_report import Health
from processor.routing.beliefs import Beliefs
from processor.routing.breaker import CircuitBreaker
from processor.routing.limit import ConcurrencyLimit
from processor.routing.policy import Policy

Outcome = Literal["succeeded", "failed", "busy", "unanswered"]
"""What a call says of the processor: it works; it fails; it takes no more at present; it did not answer in time."""


@dataclass(slots=True, eq=False)
class Lane:
    """Times are monotonic seconds."""

    processor: ProcessorName
    policy: Policy
    in_flight: int = 0
    breaker: CircuitBreaker = field(init=False)
    limit: ConcurrencyLimit = field(init=False)
    beliefs: Beliefs = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(self.policy.failures_to_open, self.policy.probe_seconds_max)
        self.limit = ConcurrencyLimit(self.policy.concurrency_max)
        self.beliefs = Beliefs(self.policy.memory_seconds)

    @property
    def fee_basis_points(self) -> int:
        return FEE_BASIS_POINTS[self.processor]

    @property
    def standing(self) -> str:
        """What keeps payments away from it, in a word."""
        return "full" if self.breaker.is_closed else "down"

    def obstacle(self, now: float) -> str:
        """What keeps payments away from it, with figures."""
        if self.breaker.is_closed:
            return f"{self.processor} has {self.in_flight} of {int(self.limit.places)} places taken"
        return f"{self.processor} has been down for {now - self.breaker.down_since:.0f} s"

    def may_be_asked(self, now: float) -> bool:
        """Whether it takes payments, or a probe is about to find out."""
        return self.breaker.state != "open" or self.breaker.admits(now)

    @property
    def is_down(self) -> bool:
        return not self.breaker.is_closed

    def free(self, now: float, places_max: float) -> int:
        """How many payments could be sent now, when no more than `places_max` may be under way."""
        if not self.breaker.is_closed:
            return int(self.breaker.admits(now))
        return max(int(min(self.limit.places, places_max)) - self.in_flight, 0)

    def send(self, now: float) -> None:
        """A payment takes a place."""
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
            self.breaker.succeeded(sent_at, now)
        else:
            is_exhausted = self.limit.is_least
            if outcome != "failed":
                self.limit.refused(self.in_flight, sent_at, now)
            # A processor that is busy is not down, unless it turns away a single payment.
            if outcome != "busy" or is_exhausted or not self.breaker.is_closed:
                self._fail(sent_at, now)
        if outcome != "busy":
            self.beliefs.observe(success=outcome == "succeeded", seconds=seconds, now=now)
        self.in_flight -= 1

    def hear(self, health: Health, now: float) -> None:
        """What it says of itself. Payments have the last word: the next probe finds out."""
        if not health.failing:
            self.beliefs.hear(health.min_response_seconds, now)
            self.breaker.hope(now)
        elif self.breaker.is_closed:
            self.breaker.trip(now)
            self.limit.restart()

    def _fail(self, sent_at: float, now: float) -> None:
        was_closed = self.breaker.is_closed
        self.breaker.failed(sent_at, now)
        if was_closed and not self.breaker.is_closed:
            self.limit.restart()
