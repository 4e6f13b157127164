"""The events of a message for programs that go on after one that is not valid: it is said in their log, and counted."""

import logging
from collections.abc import Sequence

from tollgate.contract.batch import Malformed, events_in
from tollgate.contract.events import Event

logger = logging.getLogger(__name__)


def valid_events(sequence: int, subject: str, payload: bytes) -> Sequence[Event] | None:
    """The events of the message, in order; None, and a line in the program's log, when it is not valid."""
    events = events_in(subject, payload)
    if isinstance(events, Malformed):
        logger.error("message %d of the log is not valid, and is set aside: %s", sequence, events.why)
        return None
    return events
