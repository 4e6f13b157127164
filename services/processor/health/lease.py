"""The lease for health polling: which replica asks the providers, and when. Pure: no I/O and no clock of its own.

The providers allow one call within an interval, over all replicas together. So a replica writes a record before it
calls, on condition that the bucket still holds the record that it read last: of several replicas, one succeeds. The
record is the lease: its writer asks again, and the others only when it has not changed for longer than a round takes.

Times are each replica's own monotonic seconds, counted from when it received the change of the record. That is never
before the record was written, so no two clocks are compared, and a replica waits too long rather than too short.
"""

from dataclasses import dataclass

from tollgate.contract.events import ProviderName
from tollgate.processor.health.record import Record
from tollgate.processor.health.report import Health

MARGIN_SECONDS = 0.1
"""Added to the interval, for clocks that do not run alike."""
FRESH_SECONDS = 0.5
"""A call is sent within this of writing its record, or not at all: a process stopped in between is too late."""
CALL_SECONDS = 1.5
"""A call that takes longer is given up, without a result."""
INTERVAL_SECONDS_MAX = 50.0
"""With a longer interval, a record would expire in the bucket before the next one may follow."""
GRACE_SECONDS = 0.5
"""How much longer than the holder the others wait, so that it keeps the lease while it lives."""

NewHealth = dict[ProviderName, Health]


@dataclass(frozen=True, slots=True)
class Pace:
    """The times that follow from the polling interval."""

    interval_seconds: float

    @property
    def rest_seconds(self) -> float:
        """From the end of a round's last call to the next round."""
        return self.interval_seconds + MARGIN_SECONDS

    def takeover_seconds(self, record: Record) -> float:
        """How long another replica's record must stay unchanged before its writer counts as dead."""
        calls_seconds = 0.0 if record.is_finished else FRESH_SECONDS + CALL_SECONDS
        return calls_seconds + self.rest_seconds + GRACE_SECONDS


class HealthLease:
    """The record as replica `me` has it; `revision` is 0 while there is none."""

    def __init__(self, me: str, pace: Pace) -> None:
        self._me = me
        self._pace = pace
        self._round = 0
        """The round that this replica has begun last; 0 for none."""
        self._reported: dict[ProviderName, tuple[str, int]] = {}
        self.revision = 0
        self.record: Record | None = None
        self.due_at = float("-inf")
        """When this replica may begin a round, unless the record changes earlier."""

    @property
    def is_mine(self) -> bool:
        """Whether this replica wrote the record that it has."""
        return self.record is not None and self.record.holder == self._me

    def receive(self, revision: int, record: Record, now: float) -> NewHealth:
        """The broker sent a record that it stored; returns the health that is new. An older revision is ignored."""
        return self._apply(revision, record, now) if revision > self.revision else {}

    def read(self, revision: int, record: Record | None, now: float, *, asked_at_revision: int) -> NewHealth:
        """The bucket was read, from `asked_at_revision` on, and held this; returns the health that is new.

        A lower revision is that of a bucket that was created again. None is a record that expired or was removed:
        `due_at` stays, from the record before it.
        """
        if self.revision != asked_at_revision or revision == self.revision:
            return {}
        if record is None:
            self.revision, self.record = 0, None
            return {}
        return self._apply(revision, record, now)

    def begin(self) -> Record:
        """The record to write before the calls, in place of `revision`."""
        return Record(self._me, 1 if self.record is None else self.record.round + 1)

    def begun(self, revision: int, record: Record, now: float) -> None:
        """The record was written. The calls may be sent within FRESH_SECONDS of its sending."""
        self._round = record.round
        self.revision, self.record = revision, record
        # Until `finished` is called.
        self.due_at = now + self._pace.takeover_seconds(record)

    def put_off(self, now: float) -> None:
        """A round was not begun, or that is unknown: wait as if another replica had begun one now."""
        self.due_at = max(self.due_at, now + self._pace.takeover_seconds(Record(self._me, 0)))

    def answered(self, provider: ProviderName, health: Health | None) -> Record | None:
        """A call of this replica's round has ended; the record to write, or None when it has lost the lease."""
        self._reported[provider] = (self._me, self._round)
        record = self.record
        return record.with_answer(provider, health) if record is not None and self._is_my_round else None

    def written(self, revision: int, record: Record) -> None:
        """The record that `answered` returned was written."""
        self.revision, self.record = revision, record

    def finished(self, now: float) -> None:
        """All calls of this replica's round have ended."""
        if self._is_my_round:
            self.due_at = now + self._pace.rest_seconds

    @property
    def _is_my_round(self) -> bool:
        return self.is_mine and self.record is not None and self.record.round == self._round

    def _apply(self, revision: int, record: Record, now: float) -> NewHealth:
        self.revision, self.record = revision, record
        if not self._is_my_round:
            self.due_at = now + self._pace.takeover_seconds(record)
        return self._new_health(record)

    def _new_health(self, record: Record) -> NewHealth:
        source = (record.holder, record.round)
        new = {
            name: health
            for name, health in record.answers.items()
            if health is not None and self._reported.get(name) != source
        }
        self._reported.update(dict.fromkeys(new, source))
        return new
