"""Whose turn it is to ask the payment processors for their health, and when. Pure: no I/O and no clock of its own.

The processors allow one call in so many seconds, over all replicas together. So a replica writes a record before it
calls, on the condition that the bucket still holds what it has last seen there: of several, one succeeds. The record is
the lease: who wrote it asks again, and the others only when it has not changed for longer than that takes.

Times are each replica's own monotonic seconds, counted from when it saw the record change. It never sees that before
the record was written, so no two clocks are compared, and a replica waits too long rather than too short.
"""

from dataclasses import dataclass

from tollgate.contract.events import ProviderName
from tollgate.processor.health.record import Record
from tollgate.processor.health.report import Health

MARGIN_SECONDS = 0.1
"""Beyond the interval, for clocks that do not run alike."""
FRESH_SECONDS = 0.5
"""A call leaves within this of its record's writing, or not at all: whoever was stopped in between calls no more."""
CALL_SECONDS = 1.5
"""A call that takes longer is given up, and is no news."""
INTERVAL_SECONDS_MAX = 50.0
"""With a longer interval, the bucket would forget a record before it may be followed by the next."""
GRACE_SECONDS = 0.5
"""So much longer than the holder do the others wait, so that it keeps the lease while it lives."""

News = dict[ProviderName, Health]


@dataclass(frozen=True, slots=True)
class Pace:
    """The times that follow from the processors' interval."""

    interval_seconds: float

    @property
    def rest_seconds(self) -> float:
        """From the end of a round's last call to the next round."""
        return self.interval_seconds + MARGIN_SECONDS

    def takeover_seconds(self, record: Record) -> float:
        """How long another replica's record must stay as it is, until its writer counts as dead."""
        calls_seconds = 0.0 if record.is_finished else FRESH_SECONDS + CALL_SECONDS
        return calls_seconds + self.rest_seconds + GRACE_SECONDS


class HealthLease:
    """What one replica, called `me`, knows of the record; `revision` is 0 while there is none."""

    def __init__(self, me: str, pace: Pace) -> None:
        self._me = me
        self._pace = pace
        self._round = 0
        """The round that this replica has begun last; 0 for none."""
        self._told: dict[ProviderName, tuple[str, int]] = {}
        self.revision = 0
        self.record: Record | None = None
        self.due_at = float("-inf")
        """When this replica may begin a round, unless the record changes before."""

    @property
    def is_mine(self) -> bool:
        """Whether this replica wrote the record that was seen last."""
        return self.record is not None and self.record.holder == self._me

    def heard(self, revision: int, record: Record, now: float) -> News:
        """The broker says what it has stored; what is new of it. What is older than what is known is passed over."""
        return self._see(revision, record, now) if revision > self.revision else {}

    def read(self, revision: int, record: Record | None, now: float, *, asked_at_revision: int) -> News:
        """The bucket was asked, while `asked_at_revision` was known, and held this; what is new of it.

        A lower revision is that of a bucket made anew. None is what expired or was removed: when the next call may go
        is still known, from what was seen before.
        """
        if self.revision != asked_at_revision or revision == self.revision:
            return {}
        if record is None:
            self.revision, self.record = 0, None
            return {}
        return self._see(revision, record, now)

    def begin(self) -> Record:
        """The record to write, in place of `revision`, before the calls."""
        return Record(self._me, 1 if self.record is None else self.record.round + 1)

    def begun(self, revision: int, record: Record, now: float) -> None:
        """It was written: the calls may go, while `now` is less than FRESH_SECONDS past its sending."""
        self._round = record.round
        self.revision, self.record = revision, record
        # Until the end of the calls is known.
        self.due_at = now + self._pace.takeover_seconds(record)

    def put_off(self, now: float) -> None:
        """A round could not be begun, or nobody knows whether it was: as if another replica had begun it now."""
        self.due_at = max(self.due_at, now + self._pace.takeover_seconds(Record(self._me, 0)))

    def answered(self, provider: ProviderName, health: Health | None) -> Record | None:
        """A call of this replica's round has ended; the record to write, or None when it has lost the lease."""
        self._told[provider] = (self._me, self._round)
        record = self.record
        return record.with_answer(provider, health) if record is not None and self._is_my_round else None

    def written(self, revision: int, record: Record) -> None:
        """What `answered` gave was written."""
        self.revision, self.record = revision, record

    def finished(self, now: float) -> None:
        """All calls of this replica's round have ended."""
        if self._is_my_round:
            self.due_at = now + self._pace.rest_seconds

    @property
    def _is_my_round(self) -> bool:
        return self.is_mine and self.record is not None and self.record.round == self._round

    def _see(self, revision: int, record: Record, now: float) -> News:
        self.revision, self.record = revision, record
        if not self._is_my_round:
            self.due_at = now + self._pace.takeover_seconds(record)
        return self._news(record)

    def _news(self, record: Record) -> News:
        source = (record.holder, record.round)
        news = {
            name: health
            for name, health in record.answers.items()
            if health is not None and self._told.get(name) != source
        }
        self._told.update(dict.fromkeys(news, source))
        return news
