"""The projection of a long log: the same rows as from `Projection`, many times faster. Pure.

Nearly every payment is plain: requested, routed once, processed. The events of plain payments are projected here from
their text as `encode` writes it under their own subject, a stretch of the log at once and as columns, without a step of
Python for each event. Payments do not affect each other; all events of any other payment (another event, a repeat,
another spelling) go one by one, in the log's order, through `valid_events` and `Projection`, the earlier events of the
payment first.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from tollgate.contract.batch import EVENTS_MAX, split
from tollgate.contract.codec import VERSION, decode
from tollgate.contract.events import PROVIDERS, Event, LedgerPurged
from tollgate.contract.payment_state import ACCEPTANCE_SECONDS_MAX
from tollgate.contract.subjects import PURGED, REQUESTED
from tollgate.contract.timestamps import MICROSECONDS, InvalidTimestampError, parse_us
from tollgate.projector.live.projection import Cleared, EndedAs, OpenPayment, Projection, RejectedRow, SettledRow

_HEAD = rf'"version":{VERSION},"correlationId":"([0-9a-f-]{{36}})"'
_ID_CHARACTERS = 36
_DASHES = (8, 13, 18, 23)
# Amounts and attempts of more digits are valid, but not plain.
_NUMBER = "[1-9][0-9]{0,15}"
_STAMP = r'"([0-9T:-]{19})\.([0-9]{6})Z"'
_TEXT = r'"[ !#-\[\]-~]*"'
_PROVIDER = f'"({"|".join(PROVIDERS)})"'


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the plain events of one type are spelled. The first group of `find` is the correlationId."""

    find: Callable[[str], list[Any]]
    """Finds the groups of all lines that are spelled as `encode` spells them."""
    seconds: tuple[int, ...]
    """The groups that hold times to the second; the expression also matches some that are not valid times."""
    provider: int | None = None
    """The group that holds the provider, which has to be that of the subject."""


def _kind(name: str, *fields: str, seconds: tuple[int, ...], provider: int | None = None) -> _Kind:
    # No field may contain a line's end, so each match is a whole line.
    line = f'^{{"type":"{name}",{",".join((_HEAD, *fields))}}}$'
    return _Kind(re.compile(line, re.ASCII | re.MULTILINE).findall, seconds, provider)


_REQUEST = _kind("PaymentRequested", f'"amountCents":{_NUMBER}', f'"acceptedAt":{_STAMP}', seconds=(1,))
_INTENT = _kind(
    "PaymentRouted",
    f'"amountCents":{_NUMBER}',
    f'"attempt":({_NUMBER})',
    f'"processor":{_PROVIDER}',
    f'"requestedAt":{_STAMP}',
    f'"why":{_TEXT}',
    seconds=(3,),
    provider=2,
)
_CHARGE = _kind(
    "PaymentProcessed",
    f'"amountCents":({_NUMBER})',
    f'"attempt":({_NUMBER})',
    f'"processor":{_PROVIDER}',
    f'"requestedAt":{_STAMP}',
    f'"processedAt":{_STAMP}',
    seconds=(4, 6),
    provider=3,
)
_KINDS: dict[str, tuple[_Kind, str]] = {
    REQUESTED: (_REQUEST, ""),
    **{f"payments.routed.{one}": (_INTENT, one) for one in PROVIDERS},
    **{f"payments.processed.{one}": (_CHARGE, one) for one in PROVIDERS},
}
"""Subject -> the type of its plain events, and their provider."""

MESSAGES_AT_ONCE = 1_024
"""More do not gain anything: their texts do not fit into the processor's cache."""
_SECONDS_MAX = 100_000
"""Limit of seconds whose numbers are cached; beyond it the cache is cleared before the next stretch."""
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
class Stretch:
    """Messages in the log's order, as one list per property, all of the same length."""

    sequences: Sequence[int]
    subjects: Sequence[str]
    payloads: Sequence[bytes]
    stored_at_us: Sequence[int]

    def slice(self, begin: int, end: int) -> "Stretch":
        return Stretch(
            self.sequences[begin:end], self.subjects[begin:end], self.payloads[begin:end], self.stored_at_us[begin:end]
        )


_Place = tuple[int, int]
"""The index of a message in its stretch, and the line."""


@dataclass(slots=True)
class _Lines:
    """The plain lines of one type in a stretch, in the log's order, each list with one item for each line."""

    ids: list[str] = field(default_factory=list)
    found: list[Any] = field(default_factory=list)
    """The groups of the expression; the first is the id."""
    messages: list[int] = field(default_factory=list)
    """Indices in the stretch."""
    lines: list[int] = field(default_factory=list)
    """Numbers of the lines in their message."""

    def place(self, index: int) -> _Place:
        return self.messages[index], self.lines[index]

    def take(self, ids: set[str]) -> Iterator[_Place]:
        """Removes the lines of these payments, and yields their places."""
        for index in reversed([index for index, one in enumerate(self.ids) if one in ids]):
            yield self.place(index)
            del self.ids[index], self.found[index], self.messages[index], self.lines[index]


@dataclass(frozen=True, slots=True)
class _Single:
    """An event that is applied one by one."""

    place: _Place
    sequence: int
    event: Event
    stored_at_us: int


_Intent = tuple[int, bytes, int]
"""Sequence of an intent, its message, and the line."""
_Request = tuple[int, bytes, int, int]
"""The same of a request, and the microsecond at which it was stored."""


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
        self._requests: dict[str, _Request] = {}
        """The requests of plain payments that have not ended, oldest first."""
        self._intents: dict[str, _Intent] = {}
        """The intents of those of them that have one."""
        self._seconds: dict[str, int] = {}
        self.poison_events = 0
        """Count of messages set aside because they are not valid."""

    def apply(self, stretch: Stretch) -> None:
        """Applies the next messages."""
        for begin in range(0, len(stretch.sequences), MESSAGES_AT_ONCE):
            self._apply_part(stretch.slice(begin, begin + MESSAGES_AT_ONCE))

    def _apply_part(self, stretch: Stretch) -> None:
        begin = 0
        for index in [index for index, subject in enumerate(stretch.subjects) if subject == PURGED]:
            self._apply(stretch.slice(begin, index))
            for event in self._events(stretch, index):
                self._apply_any(stretch.sequences[index], event, stretch.stored_at_us[index])
            begin = index + 1
        self._apply(stretch.slice(begin, len(stretch.subjects)) if begin else stretch)

    def take(self) -> Rows:
        """Returns the rows since the last call."""
        rows, self.rows = self.rows, Rows()
        return rows

    def oldest_open_sequence(self) -> int | None:
        """The sequence of the request of the oldest payment that has not ended; None if all have ended."""
        sequences = [payment.sequences[0] for payment in self._projection.open.values()]
        if (oldest := next(iter(self._requests.values()), None)) is not None:
            sequences.append(oldest[0])
        return min(sequences, default=None)

    def open_payments(self) -> dict[str, OpenPayment]:
        """The payments that have not ended, oldest request first. Call it once, after the last message."""
        for correlation_id in list(self._requests):
            self._leave_plain(correlation_id)
        return dict(sorted(self._projection.open.items(), key=lambda one: one[1].sequences[0]))

    def _apply(self, stretch: Stretch) -> None:
        """Applies messages without a purge."""
        if len(self._seconds) > _SECONDS_MAX:
            self._seconds.clear()
        (requests, intents, charges), singles = self._plain_lines(stretch)
        ids = {one.event.correlation_id for one in singles if not isinstance(one.event, LedgerPurged)}
        ids |= self._not_plain(stretch, requests, intents, charges)
        for lines in (requests, intents, charges):
            singles += self._decoded(stretch, lines.take(ids))
        self._request(stretch, requests)
        self._intend(stretch, intents)
        charged = self._charge(stretch, charges)
        self._merge(charges, charged, sorted(singles, key=lambda one: one.place))

    def _plain_lines(self, stretch: Stretch) -> tuple[tuple[_Lines, _Lines, _Lines], list[_Single]]:
        """The lines of requests, intents and charges that are spelled as `encode` spells them, and all other events."""
        by_kind: dict[int, list[int]] = {id(kind): [] for kind in (_REQUEST, _INTENT, _CHARGE)}
        others: list[int] = []
        where = {subject: by_kind[id(kind)] for subject, (kind, _) in _KINDS.items()}
        for index, subject in enumerate(stretch.subjects):
            where.get(subject, others).append(index)
        requests, intents, charges = (_Lines(), _Lines(), _Lines())
        for kind, lines in ((_REQUEST, requests), (_INTENT, intents), (_CHARGE, charges)):
            self._find(stretch, kind, by_kind[id(kind)], lines, others)
        singles = [
            _Single((index, line), stretch.sequences[index], event, stretch.stored_at_us[index])
            for index in sorted(others)
            for line, event in enumerate(self._events(stretch, index))
        ]
        return (requests, intents, charges), singles

    def _find(self, stretch: Stretch, kind: _Kind, indices: list[int], lines: _Lines, others: list[int]) -> None:
        """Adds the lines of those messages all of whose lines are plain; the indices of the other messages to `others`.

        One expression finds the lines of all messages. Only where it does not, halves of them are searched.
        """
        if not indices:
            return
        payloads = [stretch.payloads[index] for index in indices]
        counts = [payload.count(b"\n") + 1 for payload in payloads]
        found = kind.find(b"\n".join(payloads).decode("latin-1"))
        messages = list(chain.from_iterable(map(repeat, indices, counts)))
        ids = [one[0] for one in found]
        if (
            len(found) == len(messages)
            and max(counts) <= EVENTS_MAX
            and self._is_plain(stretch, kind, ids, found, messages)
        ):
            lines.ids += ids
            lines.found += found
            lines.messages += messages
            lines.lines += chain.from_iterable(map(range, counts))
        elif len(indices) == 1:
            others += indices
        else:
            middle = len(indices) // 2
            self._find(stretch, kind, indices[:middle], lines, others)
            self._find(stretch, kind, indices[middle:], lines, others)

    def _is_plain(self, stretch: Stretch, kind: _Kind, ids: list[str], found: list[Any], messages: list[int]) -> bool:
        """Whether these lines are plain: what the expression does not check. Then `_seconds` has all times."""
        if not _are_ids(ids):
            return False
        if len(set(ids)) != len(ids) and len(set(zip(messages, ids, strict=True))) != len(ids):
            # Two events of one payment in one message.
            return False
        if kind.provider is not None:
            subjects = map(stretch.subjects.__getitem__, messages)
            if [_KINDS[subject][1] for subject in subjects] != [one[kind.provider] for one in found]:
                return False
        texts = {one[group] for group in kind.seconds for one in found}
        return all(self._is_time(text) for text in texts)

    def _not_plain(self, stretch: Stretch, requests: _Lines, intents: _Lines, charges: _Lines) -> set[str]:
        """The payments whose events must be applied one by one, although these are spelled as `encode` spells them."""
        known, open_, recently_ended = self._requests, self._projection.open, self._projection.recently_ended
        requested_at = dict(zip(requests.ids, requests.messages, strict=True))
        intended_at = dict(zip(intents.ids, intents.messages, strict=True))
        found = _repeated(requests.ids) | _repeated(intents.ids) | _repeated(charges.ids)
        found.update(one for one in requests.ids if one in known or one in open_ or one in recently_ended)
        found.update(self._late(stretch, requests))
        found.update(one for one in intents.ids if one in self._intents)
        found.update(one[0] for one in intents.found if one[1] != "1")
        for lines in (intents, charges):
            # Their request is not known, or comes later.
            found.update(
                one
                for one, message in zip(lines.ids, lines.messages, strict=True)
                if requested_at.get(one, -1 if one in known else message) >= message
            )
        found.update(
            one
            for one, message in zip(charges.ids, charges.messages, strict=True)
            if intended_at.get(one, -1) > message
        )
        return found

    def _late(self, stretch: Stretch, requests: _Lines) -> Iterator[str]:
        """The requests that were stored so long after their acceptance that they may be repeats."""
        seconds = {self._seconds[second] for second in {one[1] for one in requests.found}}
        stored_at_us = stretch.stored_at_us
        if not seconds or (
            max(stored_at_us) - min(seconds) <= _PLAIN_AGE_MAX_US
            and max(seconds) + MICROSECONDS - min(stored_at_us) <= _PLAIN_AGE_MAX_US
        ):
            return
        for (correlation_id, second, microsecond), message in zip(requests.found, requests.messages, strict=True):
            if abs(stretch.stored_at_us[message] - self._seconds[second] - int(microsecond)) > _PLAIN_AGE_MAX_US:
                yield correlation_id

    def _request(self, stretch: Stretch, requests: _Lines) -> None:
        sequences, payloads, stored_at_us = stretch.sequences, stretch.payloads, stretch.stored_at_us
        self._requests.update(
            (one[0], (sequences[message], payloads[message], line, stored_at_us[message]))
            for one, message, line in zip(requests.found, requests.messages, requests.lines, strict=True)
        )

    def _intend(self, stretch: Stretch, intents: _Lines) -> None:
        sequences, payloads = stretch.sequences, stretch.payloads
        self._intents.update(
            (one[0], (sequences[message], payloads[message], line))
            for one, message, line in zip(intents.found, intents.messages, intents.lines, strict=True)
        )

    def _charge(self, stretch: Stretch, charges: _Lines) -> list[Row]:
        """The rows of the charges."""
        requests, intents, seconds, sequences = self._requests, self._intents, self._seconds, stretch.sequences
        rows: list[Row] = []
        for one, message in zip(charges.found, charges.messages, strict=True):
            name, amount_cents, attempt, provider, second, microsecond, then, then_microsecond = one
            sequence = sequences[message]
            requested, intended = requests.pop(name)[0], intents.pop(name, None)
            rows.append(
                (
                    name,
                    provider,
                    int(amount_cents),
                    seconds[second] + int(microsecond),
                    seconds[then] + int(then_microsecond),
                    int(attempt),
                    sequence,
                    [requested, sequence] if intended is None else [requested, intended[0], sequence],
                )
            )
        return rows

    def _merge(self, charges: _Lines, rows: list[Row], singles: list[_Single]) -> None:
        """Adds the rows of the charges and applies the other events, in the log's order."""
        begin = 0
        for single in singles:
            end = bisect_left(range(len(rows)), single.place, begin, key=charges.place)
            self._settle(rows[begin:end])
            begin = end
            self._apply_any(single.sequence, single.event, single.stored_at_us)
        self._settle(rows[begin:] if begin else rows)

    def _settle(self, rows: list[Row]) -> None:
        self._projection.remember_all_ended((row[0] for row in rows), "settled")
        self.rows.settled += rows

    def _events(self, stretch: Stretch, index: int) -> Sequence[Event]:
        """The events of a message; none, and counted, if it is not valid."""
        events = self._valid_events(stretch.sequences[index], stretch.subjects[index], stretch.payloads[index])
        self.poison_events += events is None
        return events or ()

    def _decoded(self, stretch: Stretch, places: Iterable[_Place]) -> Iterator[_Single]:
        for message, line in places:
            event = decode(split(stretch.payloads[message])[line])
            yield _Single((message, line), stretch.sequences[message], event, stretch.stored_at_us[message])

    def _apply_any(self, sequence: int, event: Event, stored_at_us: int) -> None:
        if isinstance(event, LedgerPurged):
            self._requests.clear()
            self._intents.clear()
        elif event.correlation_id in self._requests:
            self._leave_plain(event.correlation_id)
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

    def _leave_plain(self, correlation_id: str) -> None:
        """Applies the events so far of a plain payment one by one."""
        sequence, message, line, stored_at_us = self._requests.pop(correlation_id)
        self._projection.apply(sequence, decode(split(message)[line]), stored_at_us)
        if (intent := self._intents.pop(correlation_id, None)) is not None:
            sequence, message, line = intent
            self._projection.apply(sequence, decode(split(message)[line]), 0)

    def _is_time(self, text: str) -> bool:
        """Whether the text is a valid time; then `_seconds` has its microseconds since the epoch."""
        if text not in self._seconds:
            try:
                self._seconds[text] = parse_us(f"{text}Z")
            except InvalidTimestampError:
                return False
        return True

    def _ended_as_anywhere(self, correlation_id: str) -> EndedAs | None:
        known = self.rows.ended_as(correlation_id)
        if known == "settled" or self.rows.purged_at is not None:
            return known
        before = self._ended_as(correlation_id)
        return before if before == "settled" else known or before


def _are_ids(ids: list[str]) -> bool:
    """Whether texts of 36 digits and dashes are ids: the dashes are where they belong, and nowhere else."""
    text = "".join(ids)
    dashes = "-" * len(ids)
    return text.count("-") == len(_DASHES) * len(ids) and all(
        text[place::_ID_CHARACTERS] == dashes for place in _DASHES
    )


def _repeated(ids: list[str]) -> set[str]:
    """Those that are there more than once."""
    if len(set(ids)) == len(ids):
        return set()
    return {one for one, count in Counter(ids).items() if count > 1}
