"""The backlog: how many requests wait in the queue, and how fast they arrive. From both follows when it will clear."""

from dataclasses import dataclass
from math import inf

SAMPLE_SECONDS = 0.5
SAMPLE_WEIGHT = 0.4
"""The share of the newest sample in the rate: about two seconds of memory."""

SIZE_WEIGHT = 0.125
"""The share of the newest delivery in the average of payments in a delivery."""


@dataclass(slots=True)
class Backlog:
    """This replica's share of the queue, in payments. Times are monotonic seconds.

    Delivered and pending add up to what has arrived; redeliveries count twice in that sum and are subtracted. Each of
    several replicas counts the share that was delivered to it.
    """

    pending: float = 0.0
    arrivals_per_second: float = 0.0
    payments_per_delivery: float = 1.0
    _share: float = 1.0
    _taken: int = 0
    _redelivered: int = 0
    _sampled_at: float = -inf
    _sampled_delivered: int = 0
    _sampled_arrived: int = 0

    def observe(self, *, delivered: int, pending: int, payments: int, is_redelivery: bool, now: float) -> None:
        """A delivery of so many payments to this replica.

        It is the `delivered`th of all replicas' deliveries, with `pending` behind it.
        """
        self._taken += 1
        self._redelivered += is_redelivery
        self.payments_per_delivery += (payments - self.payments_per_delivery) * SIZE_WEIGHT
        self.pending = pending * self._share * self.payments_per_delivery
        if now - self._sampled_at >= SAMPLE_SECONDS:
            self._sample(delivered, delivered + pending - self._redelivered, now)

    def clears_in_seconds(self, served_per_second: float) -> float:
        """How long until nothing is pending at this rate; infinite when more arrive than are served."""
        spare = served_per_second - self.arrivals_per_second
        return self.pending / spare if spare > 0 else inf

    def _sample(self, delivered: int, arrived: int, now: float) -> None:
        seconds = now - self._sampled_at
        handed_out = delivered - self._sampled_delivered
        if seconds < inf and handed_out > 0:
            self._share += (min(self._taken / handed_out, 1.0) - self._share) * SAMPLE_WEIGHT
            rate = max(arrived - self._sampled_arrived, 0) / seconds * self._share * self.payments_per_delivery
            self.arrivals_per_second += (rate - self.arrivals_per_second) * SAMPLE_WEIGHT
        self._sampled_at, self._sampled_delivered, self._sampled_arrived = now, delivered, arrived
        self._taken = 0
