"""The circuit breaker: keeps payments away from a provider that fails, and probes with single ones whether it is back.

Closed: every payment passes. Open: none passes. Half-open: one real payment is under way as the probe.
"""

from dataclasses import dataclass
from typing import Literal

PROBE_PAUSE_FIRST = 1 / 8
"""The first pause before a probe, as a share of the longest; each failed probe doubles it."""
PROBE_ANSWER_SECONDS_MAX = 15.0
"""A probe without an outcome after this is given up, and the next one may go."""

BreakerState = Literal["closed", "open", "half-open"]


@dataclass(slots=True)
class CircuitBreaker:
    """Times are monotonic seconds."""

    failures_to_open: int
    pause_seconds_max: float
    state: BreakerState = "closed"
    failures: int = 0
    pause_seconds: float = 0.0
    until: float = 0.0
    """When the next probe may go."""
    due_at: float = 0.0
    """Since when a probe has been due, or will be. It does not change while probes are withdrawn."""
    changed_at: float = float("-inf")
    """When it last opened or closed. The outcome of a call sent before that is no evidence for the time since."""
    down_since: float = 0.0
    """When it first opened after it was last closed."""

    @property
    def is_closed(self) -> bool:
        return self.state == "closed"

    def admits(self, now: float) -> bool:
        """Whether a payment may be sent: any while closed, else only the probe when it is due."""
        return self.state == "closed" or now >= self.until

    def admit(self, now: float) -> None:
        """A payment is sent. Through an open circuit it is the probe, and the next probe waits for it."""
        if self.state != "closed":
            self.state = "half-open"
            self.until = now + PROBE_ANSWER_SECONDS_MAX

    def withdraw(self, admitted_at: float, now: float) -> None:
        """An admitted payment is not sent after all; if it was the probe, another may go."""
        if self.state == "half-open" and admitted_at >= self.changed_at:
            self.state = "open"
            self.until = now

    def succeeded(self, sent_at: float, now: float) -> None:
        if sent_at < self.changed_at:
            return
        self.failures = 0
        if self.state != "closed":
            self.state = "closed"
            self.changed_at = now

    def failed(self, sent_at: float, now: float) -> None:
        if sent_at < self.changed_at:
            return
        self.failures += 1
        if self.state == "half-open":
            self.pause_seconds = min(self.pause_seconds * 2, self.pause_seconds_max)
            self._reopen(now)
        elif self.state == "closed" and self.failures >= self.failures_to_open:
            self.trip(now)

    def trip(self, now: float) -> None:
        """Opens a closed circuit."""
        if self.state == "closed":
            self.down_since = now
            self.pause_seconds = self.pause_seconds_max * PROBE_PAUSE_FIRST
            self._reopen(now)

    def probe_soon(self, now: float) -> None:
        """The provider may be back: an open circuit is probed now, with short pauses."""
        if self.state == "open":
            self.pause_seconds = self.pause_seconds_max * PROBE_PAUSE_FIRST
            self.until = min(self.until, now)
            self.due_at = min(self.due_at, now)

    def _reopen(self, now: float) -> None:
        self.state = "open"
        self.failures = 0
        self.changed_at = now
        self.until = self.due_at = now + self.pause_seconds
