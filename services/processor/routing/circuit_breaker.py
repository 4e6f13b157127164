"""The circuit breaker: keeps payments away from a processor that fails, and finds out with single ones when it is back.

Closed: everything may pass. Open: nothing. Half-open: one real payment is under way as the probe.
"""

from dataclasses import dataclass
from typing import Literal

PROBE_PAUSE_FIRST = 1 / 8
"""The first pause before a probe, as a share of the longest; each failed probe doubles it."""
PROBE_ANSWER_SECONDS_MAX = 15.0
"""A probe that has no outcome after so long is given up, and the next one may go."""

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
    """Since when a probe has been due, or will be: the same while one after the other is withdrawn."""
    changed_at: float = float("-inf")
    """When it last opened or closed. What was sent before that says nothing about the time since."""
    down_since: float = 0.0
    """When it opened first since it was closed."""

    @property
    def is_closed(self) -> bool:
        return self.state == "closed"

    def admits(self, now: float) -> bool:
        """Whether a payment may be sent: any while closed, else the probe when it is due."""
        return self.state == "closed" or now >= self.until

    def admit(self, now: float) -> None:
        """A payment is sent: through an open circuit it is the probe, and holds back the next."""
        if self.state != "closed":
            self.state = "half-open"
            self.until = now + PROBE_ANSWER_SECONDS_MAX

    def withdraw(self, admitted_at: float, now: float) -> None:
        """What was admitted is not sent after all: if it was the probe, another may take its place."""
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

    def hope(self, now: float) -> None:
        """There is reason to believe that it is back: an open circuit is probed now, and often."""
        if self.state == "open":
            self.pause_seconds = self.pause_seconds_max * PROBE_PAUSE_FIRST
            self.until = min(self.until, now)
            self.due_at = min(self.due_at, now)

    def _reopen(self, now: float) -> None:
        self.state = "open"
        self.failures = 0
        self.changed_at = now
        self.until = self.due_at = now + self.pause_seconds
