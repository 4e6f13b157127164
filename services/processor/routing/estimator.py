"""The estimator of one provider: how often a call succeeds, and how long it takes.

Success is Beta(9 + successes, 1 + failures), and both counts decay: without observations the estimate returns to the
prior, which trusts the provider. It is sampled (Thompson 1933), not averaged, so that a provider that did badly is
tried again now and then.
"""

from dataclasses import dataclass
from math import inf
from typing import Protocol

LATENCY_LEAST_SECONDS = 0.02
"""The initial estimate of what a charge takes besides the provider's own time: the log, the network."""
TRUST = 9.0
"""The prior counts as this many successes and one failure: nine in ten succeed."""
LATENCY_WEIGHT = 0.1
"""The share of the newest call in the average."""
HEALTH_SECONDS_MAX = 10.0
"""How long a report of the health endpoint holds: twice the usual pause between two of them."""
COUNT_MAX = 200.0
"""The most successes and failures that are counted: enough for a sure estimate that still changes soon."""


class Chance(Protocol):
    """The part of `random.Random` that is needed."""

    def betavariate(self, alpha: float, beta: float, /) -> float:
        """A sample of Beta(alpha, beta)."""


@dataclass(slots=True)
class Estimator:
    """Times are monotonic seconds."""

    half_life_seconds: float
    successes: float = 0.0
    failures: float = 0.0
    _latency_seconds: float = LATENCY_LEAST_SECONDS
    _reported_seconds: float = LATENCY_LEAST_SECONDS
    """The latency by the last report of the health endpoint."""
    _reported_at: float = -inf
    _at: float = 0.0

    def observe(self, *, success: bool, seconds: float | None, now: float) -> None:
        """A call ended after `seconds` (None: not known)."""
        self._fade(now)
        total = self.successes + self.failures
        if total > COUNT_MAX:
            self.successes *= COUNT_MAX / total
            self.failures *= COUNT_MAX / total
        if success:
            self.successes += 1
        else:
            self.failures += 1
        if success and seconds is not None:
            self._latency_seconds += (seconds - self._latency_seconds) * LATENCY_WEIGHT

    def observe_health(self, min_response_seconds: float, now: float) -> None:
        """The health endpoint gave the provider's shortest time, which is its time while not crowded."""
        self._fade(now)
        self._latency_seconds = self._reported_seconds = min_response_seconds + LATENCY_LEAST_SECONDS
        self._reported_at = now

    def latency_seconds(self, now: float) -> float:
        """How long a call takes."""
        self._fade(now)
        return self._latency_seconds

    def sample_success(self, chance: Chance, now: float) -> float:
        """A plausible ratio of success, above 0 and at most 1."""
        self._fade(now)
        return max(chance.betavariate(TRUST + self.successes, 1 + self.failures), 0.001)

    def _fade(self, now: float) -> None:
        elapsed = now - self._at
        if elapsed <= 0.1:  # noqa: PLR2004 - so little changes nothing
            return
        self._at = now
        kept = 0.5 ** (elapsed / self.half_life_seconds)
        self.successes *= kept
        self.failures *= kept
        least = self._reported_seconds if now - self._reported_at <= HEALTH_SECONDS_MAX else LATENCY_LEAST_SECONDS
        # One that is below what was reported has been observed to be faster since.
        least = min(least, self._latency_seconds)
        self._latency_seconds = least + (self._latency_seconds - least) * kept
