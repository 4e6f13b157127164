"""A window of a summary: both bounds inclusive, UTC, milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

# The benchmark's script leaves the last 1.5 s out, so that charges under way can settle, and looks back 15 s.
CHECK_FROM_SECONDS = 15.0
CHECK_TO_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Window:
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise ValueError(f"a window cannot end ({self.end}) before it starts ({self.start})")

    @property
    def query(self) -> str:
        """The query string of this window."""
        return f"from={quote(moment_text(self.start))}&to={quote(moment_text(self.end))}"


def moment_text(moment: datetime) -> str:
    """`2025-07-05T12:00:00.123Z`; digits below a millisecond are cut, the same for every recipient."""
    offset = moment.utcoffset()
    if offset is None or offset:
        raise ValueError(f"{moment!r} is not in UTC")
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def check_window(now: datetime) -> Window:
    """The window for which the benchmark queries both sides."""
    return Window(now - timedelta(seconds=CHECK_FROM_SECONDS), now - timedelta(seconds=CHECK_TO_SECONDS))
