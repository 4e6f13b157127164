"""The projection of a long log: the same rows as from `Projection`, many times faster. Pure.

Nearly every payment is plain: requested, routed once, processed. Its events are projected here from their text, a
stretch of the log at once and as columns (plain_lines.py). Payments do not affect each other; all events of any other
payment (another event, a repeat, another spelling) go one by one, in the log's order, through `valid_events` and
`Projection`, the earlier events of the payment first.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollgate.contract.batch import EVENTS_MAX, split
from tollgate.contract.codec import decode
from tollgate.contract.events import Event, LedgerPurged
from tollgate.contract.payment_state import ACCEPTANCE_SECONDS_MAX
from tollgate.contract.subjects import PURGED
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.projector.live.projection import Cleared, EndedAs, OpenPayment, Projection, RejectedRow, SettledRow
from tollgate.projector.rebuild.plain_lines import Lines, Place, PlainLines, StoredMessage, Stretch

MESSAGES_AT_ONCE = 256
"""With more, what is made of their texts does not fit into the processor's cache, beside a second process."""
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
class _Single:
    """An event that is applied one by one."""

    place: Place
    message: StoredMessage
    event: Event


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
        self._plain = PlainLines()
        self._requests: dict[str, StoredMessage] = {}
        """The plain payments that have not ended, oldest first, and the messages with their requests."""
        self._intents: dict[str, StoredMessage] = {}
        """Those of them that have an intent."""
        self.poison_events = 0
        """Count of messages set aside because they are not valid."""

    def apply(self, stretch: Stretch) -> None:
        """Applies the next messages."""
        for begin in range(0, len(stretch.sequences), MESSAGES_AT_ONCE):
            self._apply_part(stretch.slice(begin, begin + MESSAGES_AT_ONCE))

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

    def _apply_part(self, stretch: Stretch) -> None:
        begin = 0
        for index in [index for index, subject in enumerate(stretch.subjects) if subject == PURGED]:
            self._apply(stretch.slice(begin, index))
            for event in self._events(stretch, index):
                self._apply_single(stretch.sequences[index], event, stretch.stored_at_us[index])
            begin = index + 1
        self._apply(stretch.slice(begin, len(stretch.subjects)) if begin else stretch)

    def _apply(self, stretch: Stretch) -> None:
        """Applies messages without a purge."""
        requests, intents, charges, others = self._plain.find(stretch)
        messages = stretch.messages()
        singles = [
            _Single(index * EVENTS_MAX + line, messages[index], event)
            for index in others
            for line, event in enumerate(self._events(stretch, index))
        ]
        not_plain = {one.event.correlation_id for one in singles if not isinstance(one.event, LedgerPurged)}
        not_plain |= self._not_plain(messages, requests, intents, charges)
        for lines in (requests, intents, charges):
            singles += _decoded(messages, lines.take(not_plain))
        self._requests.update(zip(requests.places, _messages_of(messages, requests), strict=True))
        self._intents.update(zip(intents.places, _messages_of(messages, intents), strict=True))
        rows = self._charge(messages, charges)
        self._merge(list(charges.places.values()), rows, sorted(singles, key=lambda one: one.place))

    def _not_plain(self, messages: list[StoredMessage], requests: Lines, intents: Lines, charges: Lines) -> set[str]:
        """The payments whose events must be applied one by one, although these are spelled as `encode` spells them."""
        requested, intended = requests.places, intents.places
        known, open_, recently_ended = self._requests, self._projection.open, self._projection.recently_ended
        found = {one for lines in (requests, intents, charges) for one, _ in lines.repeats}
        found |= requested.keys() & known.keys() | requested.keys() & open_.keys()
        found |= requested.keys() & recently_ended.keys()
        found |= intended.keys() & self._intents.keys()
        found.update(one[0] for one in intents.found if one[1])
        found.update(self._late(messages, requests))
        for lines in (intents, charges):
            # Their request is not known, or comes later.
            found.update(
                one for one, place in lines.places.items() if requested.get(one, -1 if one in known else place) >= place
            )
        found.update(one for one, place in charges.places.items() if intended.get(one, -1) > place)
        return found

    def _late(self, messages: list[StoredMessage], requests: Lines) -> Iterator[str]:
        """The requests that were stored so long before or after their acceptance that they may be repeats."""
        if not requests.found:
            return
        seconds = self._plain.seconds
        accepted = [seconds[one] for one in {one[1] for one in requests.found}]
        stored = [stored_at_us for _, _, stored_at_us in messages]
        if _are_fresh(min(accepted), max(stored)) and _are_fresh(max(accepted), min(stored)):
            return
        for one in requests.found:
            _, _, stored_at_us = messages[requests.places[one[0]] // EVENTS_MAX]
            if not _are_fresh(seconds[one[1]], stored_at_us):
                yield one[0]

    def _charge(self, messages: list[StoredMessage], charges: Lines) -> list[Row]:
        """The rows of the charges, whose payments end."""
        requests, intents, seconds = self._requests, self._intents, self._plain.seconds
        rows: list[Row] = []
        for groups, place in zip(charges.found, charges.places.values(), strict=True):
            name, amount_cents, attempt, provider, second, microsecond, then, then_microsecond = groups
            sequence = messages[place // EVENTS_MAX][0]
            request, intent = requests.pop(name), intents.pop(name, None)
            rows.append(
                (
                    name,
                    provider,
                    int(amount_cents),
                    seconds[second] + int(microsecond),
                    seconds[then] + int(then_microsecond),
                    int(attempt),
                    sequence,
                    [request[0], sequence] if intent is None else [request[0], intent[0], sequence],
                )
            )
        return rows

    def _merge(self, places: list[Place], rows: list[Row], singles: list[_Single]) -> None:
        """Adds the rows of the charges at these places and applies the other events, in the log's order."""
        begin = 0
        for single in singles:
            end = bisect_left(places, single.place, begin)
            if end > begin:
                self._settle(rows[begin:end])
                begin = end
            sequence, _, stored_at_us = single.message
            self._apply_single(sequence, single.event, stored_at_us)
        self._settle(rows[begin:] if begin else rows)

    def _settle(self, rows: list[Row]) -> None:
        self._projection.remember_all_ended((row[0] for row in rows), "settled")
        self.rows.settled += rows

    def _events(self, stretch: Stretch, index: int) -> Sequence[Event]:
        """The events of a message; none, and counted, if it is not valid."""
        events = self._valid_events(stretch.sequences[index], stretch.subjects[index], stretch.payloads[index])
        self.poison_events += events is None
        return events or ()

    def _apply_single(self, sequence: int, event: Event, stored_at_us: int) -> None:
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
        request, intent = self._requests.pop(correlation_id), self._intents.pop(correlation_id, None)
        for message in (request, intent):
            if message is not None:
                sequence, payload, stored_at_us = message
                self._projection.apply(sequence, _event_of(correlation_id, payload), stored_at_us)

    def _ended_as_anywhere(self, correlation_id: str) -> EndedAs | None:
        known = self.rows.ended_as(correlation_id)
        if known == "settled" or self.rows.purged_at is not None:
            return known
        before = self._ended_as(correlation_id)
        return before if before == "settled" else known or before


def _messages_of(messages: list[StoredMessage], lines: Lines) -> list[StoredMessage]:
    """The message of each line."""
    return [messages[place // EVENTS_MAX] for place in lines.places.values()]


def _decoded(messages: list[StoredMessage], places: Iterable[Place]) -> Iterator[_Single]:
    for place in places:
        index, line = divmod(place, EVENTS_MAX)
        yield _Single(place, messages[index], decode(split(messages[index][1])[line]))


def _event_of(correlation_id: str, payload: bytes) -> Event:
    """The payment's event in a message whose lines are plain."""
    name = correlation_id.encode()
    return decode(next(line for line in split(payload) if name in line))


def _are_fresh(accepted_second_us: int, stored_at_us: int) -> bool:
    """Whether a request that was accepted within that second is no repeat for sure."""
    return (
        stored_at_us - accepted_second_us <= _PLAIN_AGE_MAX_US
        and accepted_second_us + MICROSECONDS - stored_at_us <= _PLAIN_AGE_MAX_US
    )
