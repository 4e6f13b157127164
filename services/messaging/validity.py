"""The events of a message, for readers that continue after an invalid one and log it."""

import logging
from collections.abc import Sequence

from tollgate.contract.batch import Malformed, events_in
from tollgate.contract.events import Event
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)


def valid_events(sequence: int, subject: str, payload: bytes) -> Sequence[Event] | None:
    """The events of the message, in order. Logs an error and returns None when the message is not valid."""
    events = events_in(subject, payload)
    if isinstance(events, Malformed):
        logger.error(
            "message %d of the log is not valid, and is set aside: %s",
            *(sequence, events.why),
            extra=about(event="message_set_aside", sequence=sequence, reason=events.why),
        )
        return None
    return events
