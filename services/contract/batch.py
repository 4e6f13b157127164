"""A message of the log: one event, or several that were stored together, one per line. Pure.

The events of one message belong to different payments and have the same type and, where they name one, the same
provider, so they share one subject (contract/subjects.py). Readers apply them in the order of the lines.

Every reader decodes messages with `events_in`, so all of them accept and set aside the same ones. The broker's
permissions decide which user may publish under a subject; therefore an event is valid only under its own subject.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tollgate.contract.codec import MalformedEventError, decode
from tollgate.contract.events import Event, LedgerPurged
from tollgate.contract.subjects import PURGED, subject_of

EVENTS_MAX = 32
"""Events of one message. Those that are stored together have under 400 bytes each, so that they fit into
`contract.subjects.MESSAGE_BYTES_MAX`."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that is not valid under its subject. Readers set it aside."""

    why: str


def join(events: Iterable[bytes]) -> bytes:
    """The message of these events, each as `encode` writes it."""
    return b"\n".join(events)


def split(payload: bytes) -> list[bytes]:
    """The lines of a message, at least one. They are not decoded or checked."""
    return payload.split(b"\n")


def events_in(subject: str, payload: bytes) -> list[Event] | Malformed:
    """The events of a message under that subject, in order.

    A message is valid as a whole or not at all. It is malformed if a line is no event or belongs under another
    subject, if two events are of the same payment, or if it has too many lines.
    """
    parts = split(payload)
    lines_max = 1 if subject == PURGED else EVENTS_MAX
    if len(parts) > lines_max:
        return Malformed(f"{len(parts)} lines in a message under {subject}, where at most {lines_max} may be")
    events: list[Event] = []
    for part in parts:
        event = _event_in(subject, part)
        if isinstance(event, Malformed):
            return event
        events.append(event)
    if len(events) > 1 and (twice := _repeated_payment(events)) is not None:
        return Malformed(f"two events of payment {twice} in one message")
    return events


def part_of(subject: str, payload: bytes, correlation_id: str) -> bytes | None:
    """The message's valid event of that payment as it is stored, None if it has none.

    `correlation_id` is in lower case.
    """
    # Searching for the id first avoids decoding most messages.
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
        return Malformed(f"a {type(event).__name__} under {subject}, which is valid under {own} only")
    if not isinstance(event, LedgerPurged) and event.correlation_id.encode() not in part:
        # JSON may write any letter as an escape; readers that search the text for an id would not find it.
        return Malformed("the correlationId is written with escapes")
    return event


def _repeated_payment(events: list[Event]) -> str | None:
    """The first payment with two of the events; None if each has one.

    Readers could otherwise differ in which of the two they apply.
    """
    ids: set[str] = set()
    for event in events:
        if isinstance(event, LedgerPurged):
            continue
        if event.correlation_id in ids:
            return event.correlation_id
        ids.add(event.correlation_id)
    return None
