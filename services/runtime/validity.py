"""The events of a message for programs that go on after what is not valid: it is said in their log, and counted."""

import logging

from contract.events import Event
from contract.message import Malformed, events_in

logger = logging.getLogger(__name__)


def valid_events(sequence: int, subject: str, payload: bytes) -> tuple[list[Event], int]:
    """The valid events of the message, in order, and how many lines of it were set aside.

    Those are told in one line of the program's log, however many they are.
    """
    found = events_in(subject, payload)
    events = [one for one in found if not isinstance(one, Malformed)]
    set_aside = len(found) - len(events)
    if set_aside:
        why = next(one.why for one in found if isinstance(one, Malformed))
        what = "what is no valid event" if set_aside == 1 else f"{set_aside} lines that are no valid events"
        logger.error("message %d of the log holds %s, and is set aside: %s", sequence, what, why)
    return events, set_aside
