"""Whether payments wait too long to be charged, and why, from the state of the broker and the replicas. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tollgate.contract.replicas import ReplicaStatus

OLDEST_SECONDS_MAX = 60.0
"""A chargeable payment that has waited longer makes the status bad: the longest patience is over by then."""
DOUBT_SECONDS_MAX = 600.0
"""A doubt that is older needs an operator: lookups and repeated sendings have had enough time."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of the processors, with the broker's counts."""

    waiting: int
    """Not delivered yet."""
    under_way: int
    """Delivered and not acknowledged, including those that wait for their next try."""
    redelivered: int
    """Those of them that were delivered more than once."""
    under_way_max: int
    """At so many under way the broker stops delivering."""
    pulls: int
    """Open pull requests of the replicas."""
    floor: int
    """Everything up to this sequence of the log is acknowledged."""
    is_paused: bool = False

    @property
    def length(self) -> int:
        return self.waiting + self.under_way


@dataclass(frozen=True, slots=True)
class WaitingPayment:
    """The oldest payment that could be charged: requested and not ended, and no attempt of it in doubt."""

    sequence: int
    """The sequence of its request."""
    age_seconds: float
    correlation_id: str = ""
    """Empty if only the queue was read."""

    def __str__(self) -> str:
        what = self.correlation_id or f"request {self.sequence}"
        return f"{what} for {self.age_seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class LogSize:
    """The bytes of the log in the broker, and its own limit; None if only that of the broker's store applies."""

    bytes: int
    bytes_max: int | None

    def leaves_less_than(self, needed_bytes: int) -> bool:
        """Whether the broker may refuse the next message, of up to so many bytes."""
        return self.bytes_max is not None and self.bytes + needed_bytes > self.bytes_max


@dataclass(frozen=True, slots=True)
class ChargingFacts:
    """The state of charging at one time. `queue` is None when the broker has no queue of requests."""

    queue: Queue | None
    replicas: Sequence[ReplicaStatus]
    oldest: WaitingPayment | None
    log_is_full: bool = False
    is_elsewhere: bool = False
    """Released payments wait in the queue for released payments."""
    log_size: LogSize | None = None

    def trouble(self, oldest_seconds_max: float) -> str | None:
        """What waits, for how long and why, if the oldest payment has waited longer; None otherwise."""
        if self.oldest is None or self.oldest.age_seconds <= oldest_seconds_max:
            return None
        waiting = f"; {self.queue.length} in the queue" if self.queue is not None else ""
        return f"payments wait, the oldest, {self.oldest}{waiting}: {'; '.join(self.causes())}"

    def causes(self) -> list[str]:
        """The known reasons why payments are not charged."""
        causes = [*self._of_queue(), *self._of_replicas()]
        if self.log_is_full:
            causes.append("the log is full")
        if self._is_lost_to_queue():
            causes.append("the queue of requests begins after the oldest, so it is never delivered")
        return causes or ["no cause is known; the processors' program logs may name one"]

    def _of_queue(self) -> list[str]:
        if self.queue is None:
            return ["the broker has no queue of requests; a processor makes it when it starts"]
        causes = []
        if self.queue.is_paused:
            causes.append("an operator has paused the queue of requests")
        if self.queue.under_way >= self.queue.under_way_max:
            causes.append(f"{self.queue.under_way} requests are delivered and not acknowledged, which is the limit")
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
