"""A message of the log: one event, or several that were stored at once, each on a line of its own. Pure.

Events of one message are of different payments, all of one type, and those with a processor of the same: so a message
lies under the one subject that is theirs (contract/stream.py). Its lines have the order in which they count.
"""

import re
from collections.abc import Iterable

EVENTS_MAX = 32
"""Events of one message. Those that are stored together are under 400 bytes each, so that they fit into
`contract.stream.MESSAGE_BYTES_MAX`."""


def join(events: Iterable[bytes]) -> bytes:
    """The message of these events, each as `encode` writes it."""
    return b"\n".join(events)


def split(payload: bytes) -> list[bytes]:
    """The events of a message, at least one; whether they are events, `decode` says."""
    return payload.split(b"\n")


def part_of(payload: bytes, correlation_id: str) -> bytes | None:
    """The message's event of that payment, None if it has none. `correlation_id` is in lower case.

    Texts may name other payments; inside of a text the quotes are escaped.
    """
    wanted = correlation_id.encode()
    if wanted not in payload:
        return None
    is_of_it = re.compile(rb'"correlationId"\s*:\s*"%b"' % wanted).search
    return next((event for event in split(payload) if is_of_it(event)), None)
