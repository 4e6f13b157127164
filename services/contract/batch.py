"""A message of the log: one event, or several that were stored at once, each on a line of its own. Pure.

Events of one message are of different payments, all of one type, and those with a processor of the same: so a message
lies under the one subject that is theirs (contract/subjects.py). Its lines have the order in which they count.

`events_in` is the only way from a message to its events: every reader goes through it, so all of them count, and set
aside, the same. Who may publish under a subject is a matter of permissions; so an event is valid only under its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tollgate.contract.codec import MalformedEventError, decode
from tollgate.contract.events import Event, LedgerPurged
from tollgate.contract.subjects import PURGED, REQUESTED, subject_of

EVENTS_MAX = 32
"""Events of one message. Those that are stored together are under 400 bytes each, so that they fit into
`contract.stream.MESSAGE_BYTES_MAX`."""
_ALONE = frozenset((REQUESTED, PURGED))
"""Under these a message is one event: its message id is that of the event, and readers of headers rely on it."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that is not valid where it lies. Readers set it aside."""

    why: str


def join(events: Iterable[bytes]) -> bytes:
    """The message of these events, each as `encode` writes it."""
    return b"\n".join(events)


def split(payload: bytes) -> list[bytes]:
    """The lines of a message, at least one; whether they are events, `events_in` says."""
    return payload.split(b"\n")


def events_in(subject: str, payload: bytes) -> list[Event] | Malformed:
    """The event in each line of the message under that subject, in order.

    A message is valid as a whole or not at all. Malformed is one with a line that is no event, or an event that belongs
    under another subject; with two events of one payment; and with more lines than it may have.
    """
    parts = split(payload)
    lines_max = 1 if subject in _ALONE else EVENTS_MAX
    if len(parts) > lines_max:
        return Malformed(f"{len(parts)} lines in a message under {subject}, where at most {lines_max} may be")
    events: list[Event] = []
    for part in parts:
        event = _event_in(subject, part)
        if isinstance(event, Malformed):
            return event
        events.append(event)
    if len(events) > 1 and (twice := _named_twice(events)) is not None:
        return Malformed(f"two events of payment {twice} in one message")
    return events


def part_of(subject: str, payload: bytes, correlation_id: str) -> bytes | None:
    """The message's valid event of that payment as it is stored, None if it has none.

    `correlation_id` is in lower case.
    """
    # Looking for the id spares decoding the rest of the log.
    if correlation_id.encode() not in payload:
        return None
    events = events_in(subject, payload)
    if isinstance(events, Malformed):
        return None
    for part, event in zip(split(payload), events, strict=True):
        if not isinstance(event, LedgerPurged) and event.correlation_id == correlation_id:
            return part
    return None


def _event_in(subject: str, part: bytes) -> Event | Malformed:
    try:
        event = decode(part)
    except MalformedEventError as error:
        return Malformed(str(error))
    if (own := subject_of(event)) != subject:
        return Malformed(f"a {type(event).__name__} under {subject}, which counts under {own} alone")
    if not isinstance(event, LedgerPurged) and event.correlation_id.encode() not in part:
        # JSON may write any letter as an escape; readers that look for an id in the text would not find it.
        return Malformed("the correlationId is written with escapes")
    return event


def _named_twice(events: list[Event]) -> str | None:
    """A payment that has two of the events: which of them counts must not depend on the reader."""
    seen: set[str] = set()
    for event in events:
        if isinstance(event, LedgerPurged):
            continue
        if event.correlation_id in seen:
            return event.correlation_id
        seen.add(event.correlation_id)
    return None
