"""A span of time as the summaries take it: both ends included, UTC, milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

# The contest's script leaves the last 1.5 s out, so that charges on their way can land, and looks back 15 s.
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
        """The query string that asks for this window."""
        return f"from={quote(moment_text(self.start))}&to={quote(moment_text(self.end))}"


def moment_text(moment: datetime) -> str:
    """`2025-07-05T12:00:00.123Z`; what is finer than a millisecond is cut off, alike for everyone who is asked."""
    offset = moment.utcoffset()
    if offset is None or offset:
        raise ValueError(f"{moment!r} is not in UTC")
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def check_window(now: datetime) -> Window:
    """The window the contest asks both sides for."""
    return Window(now - timedelta(seconds=CHECK_FROM_SECONDS), now - timedelta(seconds=CHECK_TO_SECONDS))
