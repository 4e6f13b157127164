"""How far a rebuild of the read model is, as samples in its answer to the request for statistics. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

PROGRAM = "rebuild"
"""The kind of program that answers; there is none while no rebuild runs."""
_READ = "tollgate_rebuild_messages_read"
_LEFT = "tollgate_rebuild_messages_left"
_SECONDS = "tollgate_rebuild_seconds"
_IS_COMPARING = "tollgate_rebuild_is_comparing"


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """Messages read of the log, messages left, and the seconds since it began.

    `is_comparing`: all are read, and the new read model is compared with the live one and put in its place.
    """

    read: int = 0
    left: int = 0
    seconds: float = 0.0
    is_comparing: bool = False

    @property
    def share(self) -> float:
        """How much of the log is read, from 0 to 1."""
        return 1.0 if self.is_comparing else self.read / max(self.read + self.left, 1)

    @property
    def seconds_left(self) -> float | None:
        """Until all is read, at the pace so far; None before the first messages."""
        return self.left * self.seconds / self.read if self.read else None

    def samples(self) -> dict[str, float]:
        return {
            _READ: self.read,
            _LEFT: self.left,
            _SECONDS: self.seconds,
            _IS_COMPARING: float(self.is_comparing),
        }


def progress_in(samples: Mapping[str, float]) -> RebuildProgress:
    """What `samples` returned; a value that is missing is zero."""
    return RebuildProgress(
        int(samples.get(_READ, 0)),
        int(samples.get(_LEFT, 0)),
        samples.get(_SECONDS, 0.0),
        bool(samples.get(_IS_COMPARING, 0.0)),
    )
