"""The projection of a long log: the same rows as from `Projection`, several times faster. Pure.

Nearly every payment is plain: requested, routed once, processed. Plain payments are projected here from the text of the
events as `encode` writes it under their own subject, without an object for each event. Everything else (another event,
a repeat, another spelling) goes through `valid_events` and `Projection`, the earlier events of the payment first.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollgate.contract.batch import EVENTS_MAX, split
from tollgate.contract.codec import VERSION, decode
from tollgate.contract.events import PROVIDERS, Event, LedgerPurged
from tollgate.contract.payment_state import ACCEPTANCE_SECONDS_MAX
from tollgate.contract.subjects import REQUESTED
from tollgate.contract.timestamps import MICROSECONDS, InvalidTimestampError, parse_us
from tollgate.projector.live.projection import Cleared, EndedAs, OpenPayment, Projection, RejectedRow, SettledRow

_HEAD = rf'"version":{VERSION},"correlationId":"([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})"'
# Amounts and attempts of more digits are valid, but not plain.
_NUMBER = "([1-9][0-9]{0,15})"
_STAMP = r'"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]{6})Z"'
_TEXT = r'"[ !#-\[\]-~]*"'

_Groups = tuple[bytes, ...]
"""What an expression finds of a line; the first is the correlationId."""
_Finder = Callable[[bytes], list[Any]]
"""Finds the groups of all lines of a message that are spelled as `encode` spells them."""


def _fields(kind: str, *fields: str) -> _Finder:
    # No field may contain a line's end, so each match is a whole line.
    line = f'^{{"type":"{kind}",{",".join((_HEAD, *fields))}}}$'
    return re.compile(line.encode(), re.ASCII | re.MULTILINE).findall


def _routed(provider: str) -> _Finder:
    return _fields(
        "PaymentRouted",
        f'"amountCents":{_NUMBER}',
        '"attempt":1',
        f'"processor":"{provider}"',
        f'"requestedAt":{_STAMP}',
        f'"why":{_TEXT}',
    )


def _processed(provider: str) -> _Finder:
    return _fields(
        "PaymentProcessed",
        f'"amountCents":{_NUMBER}',
        f'"attempt":{_NUMBER}',
        f'"processor":"({provider})"',
        f'"requestedAt":{_STAMP}',
        f'"processedAt":{_STAMP}',
    )


_SECONDS_MAX = 100_000
"""Limit of seconds whose numbers are cached; beyond it the cache is cleared before the next message."""
_PLAIN_AGE_MAX_US = ACCEPTANCE_SECONDS_MAX * MICROSECONDS

Row = tuple[Any, ...]
ValidEvents = Callable[[int, str, bytes], Sequence[Event] | None]
"""(sequence, subject, payload) -> the message's events; None when it is not valid."""


@dataclass(slots=True)
class Rows:
    """New rows as tuples of their table's columns, in the log's order; `purged_at`: all earlier rows are void."""

    settled: list[Row] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)
    purged_at: int | None = None

    def ended_as(self, correlation_id: str) -> EndedAs | None:
        """How a payment among these rows ended; None if it is not among them."""
        if any(row[0] == correlation_id for row in self.settled):
            return "settled"
        return "rejected" if any(row[0] == correlation_id for row in self.rejected) else None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """How the plain events under a subject are spelled and projected."""

    find: _Finder
    follow: Callable[[Any, int, Sequence[_Groups], bytes, int], None]
    seconds: tuple[int, ...]
    """The groups that hold times to the second; the expression also matches some that are not valid times."""


_Plain = tuple[int, int, bytes, int, int, bytes, int]
"""A plain payment: sequence, microsecond stored, message and line of its request; sequence, message and line of its
first intent (0, empty and 0 while there is none)."""


class BulkProjection:
    """Folds the log's messages; the resulting rows are in `rows` until they are taken.

    `ended_as` finds how a payment ended whose rows were taken; `valid_events` (messaging/validity.py) returns the
    events of a message that is not plain.
    """

    def __init__(self, ended_as: Callable[[str], EndedAs | None], valid_events: ValidEvents) -> None:
        self.rows = Rows()
        self._valid_events = valid_events
        self._ended_as = ended_as
        self._projection = Projection(self._ended_as_anywhere)
        self._plain: dict[str, _Plain] = {}
        self._seconds: dict[bytes, int] = {}
        self.poison_events = 0
        """Count of messages set aside because they are not valid."""

    def apply(self, sequence: int, subject: str, payload: bytes, stored_at_us: int) -> None:
        """Applies the next message."""
        pattern = _PATTERNS.get(subject)
        found = None if pattern is None else self._plain_events(pattern, payload)
        if pattern is None or found is None:
            events = self._valid_events(sequence, subject, payload)
            self.poison_events += events is None
            for event in events or ():
                self._apply_any(sequence, event, stored_at_us)
            return
        pattern.follow(self, sequence, found, payload, stored_at_us)

    def take(self) -> Rows:
        """Returns the rows since the last call."""
        rows, self.rows = self.rows, Rows()
        return rows

    def oldest_open_sequence(self) -> int | None:
        """The sequence of the request of the oldest payment that has not ended; None if all have ended."""
        sequences = [payment.sequences[0] for payment in self._projection.open.values()]
        if (oldest := next(iter(self._plain.values()), None)) is not None:
            sequences.append(oldest[0])
        return min(sequences, default=None)

    def open_payments(self) -> dict[str, OpenPayment]:
        """The payments that have not ended, oldest request first. Call it once, after the last message."""
        for correlation_id, plain in list(self._plain.items()):
            del self._plain[correlation_id]
            self._apply_plain(plain)
        return dict(sorted(self._projection.open.items(), key=lambda one: one[1].sequences[0]))

    def _plain_events(self, pattern: _Pattern, payload: bytes) -> list[_Groups] | None:
        """The events of a valid message all of whose lines are spelled as `encode` spells them; None for any other.

        Of those, `_seconds` has all times.
        """
        found = pattern.find(payload)
        lines = payload.count(b"\n") + 1
        if len(found) != lines or lines > EVENTS_MAX or len({one[0] for one in found}) != lines:
            return None
        if len(self._seconds) > _SECONDS_MAX:
            self._seconds.clear()
        texts = {one[group] for one in found for group in pattern.seconds}
        return found if all(self._is_time(text) for text in texts) else None

    def _request(self, sequence: int, found: Sequence[_Groups], payload: bytes, stored_at_us: int) -> None:
        plain, seconds = self._plain, self._seconds
        may_be_known = self._projection.open, self._projection.recently_ended
        for line, (name, _, second, microsecond) in enumerate(found):
            correlation_id = name.decode()
            if (
                abs(stored_at_us - seconds[second] - int(microsecond)) > _PLAIN_AGE_MAX_US
                or correlation_id in plain
                or correlation_id in may_be_known[0]
                or correlation_id in may_be_known[1]
            ):
                self._apply_line(sequence, payload, line, stored_at_us)
            else:
                plain[correlation_id] = (sequence, stored_at_us, payload, line, 0, b"", 0)

    def _route(self, sequence: int, found: Sequence[_Groups], payload: bytes, stored_at_us: int) -> None:
        for line, (name, *_) in enumerate(found):
            correlation_id = name.decode()
            plain = self._plain.get(correlation_id)
            if plain is None or plain[4]:
                self._apply_line(sequence, payload, line, stored_at_us)
            else:
                self._plain[correlation_id] = (*plain[:4], sequence, payload, line)

    def _process(self, sequence: int, found: Sequence[_Groups], payload: bytes, stored_at_us: int) -> None:
        seconds, remember_ended, settled = self._seconds, self._projection.remember_ended, self.rows.settled
        for line, (name, amount_cents, attempt, provider, second, microsecond, then, then_microsecond) in enumerate(
            found
        ):
            correlation_id = name.decode()
            if (plain := self._plain.pop(correlation_id, None)) is None:
                self._apply_line(sequence, payload, line, stored_at_us)
                continue
            remember_ended(correlation_id, "settled")
            settled.append(
                (
                    correlation_id,
                    provider.decode(),
                    int(amount_cents),
                    seconds[second] + int(microsecond),
                    seconds[then] + int(then_microsecond),
                    int(attempt),
                    sequence,
                    [plain[0], plain[4], sequence] if plain[4] else [plain[0], sequence],
                )
            )

    def _apply_line(self, sequence: int, payload: bytes, line: int, stored_at_us: int) -> None:
        self._apply_any(sequence, decode(split(payload)[line]), stored_at_us)

    def _apply_any(self, sequence: int, event: Event, stored_at_us: int) -> None:
        if isinstance(event, LedgerPurged):
            self._plain.clear()
        elif (plain := self._plain.pop(event.correlation_id, None)) is not None:
            self._apply_plain(plain)
        match self._projection.apply(sequence, event, stored_at_us):
            case SettledRow() as row:
                self.rows.settled.append(
                    (
                        row.correlation_id,
                        row.provider,
                        row.amount_cents,
                        row.requested_at_us,
                        row.processed_at_us,
                        row.attempt,
                        row.sequences[-1],
                        row.sequences,
                    )
                )
            case RejectedRow() as row:
                self.rows.rejected.append((row.correlation_id, row.amount_cents, row.reason, row.sequences))
            case Cleared(position):
                self.rows = Rows(purged_at=position)

    def _apply_plain(self, plain: _Plain) -> None:
        sequence, stored_at_us, message, line, routed_sequence, routed_message, routed_line = plain
        self._projection.apply(sequence, decode(split(message)[line]), stored_at_us)
        if routed_sequence:
            self._projection.apply(routed_sequence, decode(split(routed_message)[routed_line]), 0)

    def _is_time(self, text: bytes) -> bool:
        """Whether the text is a valid time; then `_seconds` has its microseconds since the epoch."""
        if text not in self._seconds:
            try:
                self._seconds[text] = parse_us(f"{text.decode()}Z")
            except InvalidTimestampError:
                return False
        return True

    def _ended_as_anywhere(self, correlation_id: str) -> EndedAs | None:
        known = self.rows.ended_as(correlation_id)
        if known == "settled" or self.rows.purged_at is not None:
            return known
        before = self._ended_as(correlation_id)
        return before if before == "settled" else known or before


_REQUESTED = _fields("PaymentRequested", f'"amountCents":{_NUMBER}', f'"acceptedAt":{_STAMP}')
_PATTERNS: dict[str, _Pattern] = {
    REQUESTED: _Pattern(_REQUESTED, BulkProjection._request, (2,)),  # noqa: SLF001 - methods of this file
    **{f"payments.routed.{one}": _Pattern(_routed(one), BulkProjection._route, (2,)) for one in PROVIDERS},  # noqa: SLF001
    **{f"payments.processed.{one}": _Pattern(_processed(one), BulkProjection._process, (4, 6)) for one in PROVIDERS},  # noqa: SLF001
}
