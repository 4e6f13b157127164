"""What probes a provider that is down: its doubts, which may have been sent there anyway, or a new payment. Pure.

A new payment becomes another doubt if its probe is not answered. So it probes only where there is no doubt, or where
doubts did not help: they could not be sent, because their lookups fail; or they alone may be what fails.
"""

from dataclasses import dataclass
from math import inf

GRACE_SECONDS_MIN = 2.0
"""How long a due probe is left to the doubts. It doubles with each new payment that probed in vain."""
GRACE_SECONDS_MAX = 60.0
"""The longest that a probe is left to them; and however often they probe, a new payment probes once in this time."""


@dataclass(slots=True)
class Probing:
    """Times are monotonic seconds."""

    has_doubts: bool = False
    """Whether there are doubts at the provider, as far as is known."""
    grace_seconds: float = GRACE_SECONDS_MIN
    _new_at: float = -inf
    """When a new payment probed last, or the circuit opened."""

    def is_for_new_payments(self, due_at: float, now: float) -> bool:
        """Whether a new payment may be the probe that has been due since `due_at`."""
        if not self.has_doubts:
            return True
        return now >= due_at + self.grace_seconds or now >= self._new_at + GRACE_SECONDS_MAX

    def opened(self, now: float) -> None:
        """The circuit has opened."""
        self._new_at = now
        self.grace_seconds = GRACE_SECONDS_MIN

    def new_payment_probes(self, now: float) -> None:
        """A new payment probes. It counts as one in vain; if it succeeds, the circuit closes."""
        self._new_at = now
        if self.has_doubts:
            self.grace_seconds = min(self.grace_seconds * 2, GRACE_SECONDS_MAX)
