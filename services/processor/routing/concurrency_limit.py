"""How many payments may be under way at one provider: more while calls succeed, fewer after it refuses one.

Additive increase, multiplicative decrease, with TCP's slow start (RFC 5681) before the first refusal and after an
outage. Refusals lower the limit, latency does not: by Little's law a provider that takes two seconds needs a thousand
places to carry what one of ten milliseconds carries with six (docs/decisions/0011).
"""

from dataclasses import dataclass
from math import inf, sqrt

START = 1 / 2
"""The share of the ceiling at the start, and after an outage at most."""
BACKOFF = 0.9
"""A refusal leaves this share of what was under way."""
LEAST = 1.0


@dataclass(slots=True)
class ConcurrencyLimit:
    """`places` lies between 1 and `ceiling`. Times are monotonic seconds."""

    ceiling: int
    places: float = 0.0
    threshold: float = inf
    """Below it places double with each round trip; above, their square root is added."""
    _shrunk_at: float = -inf

    def __post_init__(self) -> None:
        self.places = max(self.ceiling * START, LEAST)

    @property
    def attainable(self) -> float:
        """The places to which it is expected to grow."""
        return float(self.ceiling) if self.threshold == inf else max(self.places, self.threshold)

    @property
    def is_least(self) -> bool:
        return self.places <= LEAST

    def coped(self, in_flight: int) -> None:
        """A call succeeded while `in_flight` were under way. The limit grows only while half of it is in use."""
        if in_flight * 2 >= self.places:
            growth = 1.0 if self.places < self.threshold else sqrt(self.places) / self.places
            self.places = min(self.places + growth, float(self.ceiling))

    def refused(self, in_flight: int, sent_at: float, now: float) -> None:
        """A call was refused, or not answered in time. All calls that were sent before a decrease count as one."""
        if sent_at >= self._shrunk_at:
            self.places = max(min(self.places, float(in_flight)) * BACKOFF, LEAST)
            self.threshold = self.places
            self._shrunk_at = now

    def restart(self) -> None:
        """The provider was down: its load is raised again step by step."""
        self.places = min(self.places, max(self.ceiling * START, LEAST))
