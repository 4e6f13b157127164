"""Whether payments wait too long for being charged, and what keeps them, from what broker and replicas tell. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tollgate.contract.replicas import ReplicaStatus

OLDEST_SECONDS_MAX = 60.0
"""A payment that could be charged and has waited longer is a trouble: the longest patience is over by then."""
DOUBT_SECONDS_MAX = 600.0
"""A doubt that is older needs somebody: lookups and repeated sendings have had their time."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of the processors, as the broker counts it."""

    waiting: int
    """Never delivered yet."""
    under_way: int
    """Delivered, and not done with; those that wait for their next try included."""
    redelivered: int
    """Those of them that were delivered more than once."""
    under_way_max: int
    """At so many the broker delivers nothing more."""
    pulls: int
    """Open questions of replicas for more."""
    floor: int
    """Everything up to this sequence of the log is done with."""
    is_paused: bool = False

    @property
    def length(self) -> int:
        return self.waiting + self.under_way


@dataclass(frozen=True, slots=True)
class WaitingPayment:
    """The oldest payment that could be charged: requested and not ended, and no attempt of it in doubt."""

    sequence: int
    """Of its request."""
    age_seconds: float
    correlation_id: str = ""
    """Empty where only the queue is known."""

    def __str__(self) -> str:
        what = self.correlation_id or f"request {self.sequence}"
        return f"{what} for {self.age_seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class ChargingFacts:
    """What is known of charging at one moment. `queue` is None when the broker has no queue of requests."""

    queue: Queue | None
    replicas: Sequence[ReplicaStatus]
    oldest: WaitingPayment | None
    log_is_full: bool = False
    is_elsewhere: bool = False
    """Released payments wait in a queue of their own."""

    def trouble(self, oldest_seconds_max: float) -> str | None:
        """What waits, for how long and why, once the oldest payment has waited longer; None if none has."""
        if self.oldest is None or self.oldest.age_seconds <= oldest_seconds_max:
            return None
        waiting = f"; {self.queue.length} in the queue" if self.queue is not None else ""
        return f"payments wait, the oldest, {self.oldest}{waiting}: {'; '.join(self.causes())}"

    def causes(self) -> list[str]:
        """What is known to keep payments from being charged."""
        causes = [*self._of_queue(), *self._of_replicas()]
        if self.log_is_full:
            causes.append("the log is full")
        if self._is_lost_to_queue():
            causes.append("the queue of requests begins behind the oldest, so nobody is given it")
        return causes or ["no cause is known; the processors' program logs may name one"]

    def _of_queue(self) -> list[str]:
        if self.queue is None:
            return ["the broker has no queue of requests; a processor makes it when it starts"]
        causes = []
        if self.queue.is_paused:
            causes.append("an operator has paused the queue of requests")
        if self.queue.under_way >= self.queue.under_way_max:
            causes.append(f"{self.queue.under_way} requests are delivered and not done with, which is the most")
        return causes

    def _of_replicas(self) -> list[str]:
        if not self.replicas:
            return ["no processor answers"]
        names = defaultdict(list)
        for replica in self.replicas:
            if replica.obstacle:
                names[replica.obstacle].append(replica.name)
        causes = [f"{', '.join(which)}: {obstacle}" for obstacle, which in names.items()]
        if not causes and self.queue is not None and self.queue.length and not self.queue.pulls:
            causes.append("processors answer, and none asks for requests")
        return causes

    def _is_lost_to_queue(self) -> bool:
        return (
            self.queue is not None
            and self.oldest is not None
            and self.oldest.sequence <= self.queue.floor
            and not self.is_elsewhere
        )
