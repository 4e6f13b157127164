"""Which processor gets a payment. Pure: no I/O and no clock of its own; time comes in as monotonic seconds.

The rule: default while its circuit is closed, else fallback while its circuit is closed, else wait. An open circuit
lets one real payment through as a probe, after a pause that doubles with each failed probe.
"""

from dataclasses import dataclass, field
from typing import Literal

from contract.events import ProcessorName
from processor.health_report import Health

FAILURES_TO_OPEN = 3
"""So many failures in a row open the circuit."""
OPEN_SECONDS_MIN = 0.25
OPEN_SECONDS_MAX = 4.0
"""The pause before a probe, first and longest."""
PROBE_SECONDS_MAX = 15.0
"""A probe that has no outcome after so long is given up, and the next one may go."""

BreakerState = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class Route:
    """Charge at `processor`."""

    processor: ProcessorName
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Neither processor is worth trying now; ask again after `seconds`."""

    seconds: float
    why: str


Decision = Route | Wait


@dataclass(slots=True)
class CircuitBreaker:
    """Closed, open, or half-open with one probe under way."""

    state: BreakerState = "closed"
    failures: int = 0
    open_seconds: float = OPEN_SECONDS_MIN
    until: float = 0.0
    """When, in monotonic seconds, the next probe may go."""

    def admits(self, now: float) -> bool:
        return self.state == "closed" or now >= self.until

    def admit(self, now: float) -> None:
        """A payment is sent: through an open circuit it is the probe, and holds back the next."""
        if self.state != "closed":
            self.state = "half-open"
            self.until = now + PROBE_SECONDS_MAX

    def succeeded(self) -> None:
        self.state = "closed"
        self.failures = 0
        self.open_seconds = OPEN_SECONDS_MIN

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.state == "half-open":
            self.open_seconds = min(self.open_seconds * 2, OPEN_SECONDS_MAX)
        elif self.state == "open" or self.failures < FAILURES_TO_OPEN:
            # Answers to calls that were under way when the circuit opened do not prolong it.
            return
        self.state = "open"
        self.until = now + self.open_seconds


@dataclass(slots=True)
class Router:
    """The state of both circuits, and the choice."""

    default: CircuitBreaker = field(default_factory=CircuitBreaker)
    fallback: CircuitBreaker = field(default_factory=CircuitBreaker)

    def breaker(self, processor: ProcessorName) -> CircuitBreaker:
        return self.default if processor == "default" else self.fallback

    @property
    def is_any_closed(self) -> bool:
        return "closed" in (self.default.state, self.fallback.state)

    def can_route(self, now: float) -> bool:
        """Whether `decide` would route a payment now."""
        return self.default.admits(now) or self.fallback.admits(now)

    def decide(self, now: float) -> Decision:
        """Where the next payment goes, and why. A Route counts as sent."""
        if self.default.admits(now):
            why = f"default is the cheaper one, its circuit is {self.default.state}"
            self.default.admit(now)
            return Route("default", why)
        if self.fallback.admits(now):
            why = f"default's circuit is {self.default.state}, fallback's is {self.fallback.state}"
            self.fallback.admit(now)
            return Route("fallback", why)
        pause = max(min(self.default.until, self.fallback.until) - now, 0.0)
        return Wait(pause, "both circuits are open")

    def observe(self, processor: ProcessorName, *, success: bool, now: float) -> None:
        """A call to `processor` ended."""
        if success:
            self.breaker(processor).succeeded()
        else:
            self.breaker(processor).failed(now)

    def observe_health(self, processor: ProcessorName, health: Health, now: float) -> None:
        """The health endpoint of `processor` answered."""
