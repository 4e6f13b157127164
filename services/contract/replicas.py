"""The status request that every processor replica answers: subject, answer, encoding. Pure."""

from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields

import orjson

from tollgate.contract.clock_offset import ClockOffset

REPLICAS = "processor.status"
"""Every replica receives the request and answers for itself."""


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The status of one processor replica.

    `obstacle` is what keeps it from charging, as a text; empty if nothing is known. `ended_seconds_ago` is how long ago
    it last read the end of a payment in the log, whichever replica charged it; None if none since its start.
    """

    name: str
    obstacle: str
    in_hand: int
    """Payments that it is working on."""
    ended_seconds_ago: float | None
    clock: ClockOffset | None
    """Its wall clock minus the broker's; None if that could not be measured yet."""


def encode_replica(status: ReplicaStatus) -> bytes:
    return orjson.dumps(asdict(status))


def decode_replica(payload: bytes) -> ReplicaStatus:
    """Raises ValueError for anything that `encode_replica` did not write."""
    try:
        fields = orjson.loads(payload)
        known = {one.name: fields[one.name] for one in dataclass_fields(ReplicaStatus)}
        clock = known["clock"]
        return ReplicaStatus(**{**known, "clock": None if clock is None else ClockOffset(**clock)})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a ReplicaStatus: {payload[:80]!r}") from error
