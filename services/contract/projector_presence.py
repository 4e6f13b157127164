"""The request that every projector on the log answers for itself: subject, answer, encoding. Pure."""

from dataclasses import asdict, dataclass

import orjson

PRESENCE = "projector.presence"
INSTANCE_HEADER = "Tollgate-Projector"
"""The header of a request to one projector only, with its instance: to the one that has the asker's files."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A running projector. `instance` is drawn at its start."""

    instance: str
    is_current: bool
    """Whether it has read the log to its end, moments ago."""
    is_active: bool
    """Whether it answers questions."""


def encode_presence(presence: Presence) -> bytes:
    return orjson.dumps(asdict(presence))


def decode_presence(payload: bytes) -> Presence:
    """Raises ValueError for anything that `encode_presence` did not write."""
    match orjson.loads(payload):
        case {"instance": str(instance), "is_current": bool(is_current), "is_active": bool(is_active)}:
            return Presence(instance, is_current, is_active)
        case _:
            raise ValueError(f"not a Presence: {payload[:80]!r}")
