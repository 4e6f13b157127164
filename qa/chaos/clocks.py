"""Wall clocks that can be set, one for each program: libfaketime stands between it and the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
"""Where Debian and others put it; MT is the one for programs with threads."""


class NoClocksError(Exception):
    """No clock can be set here; the text says why."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What a program takes for the time of day: the true one and an offset, which `path` holds."""

    path: Path

    def set(self, offset_seconds: float) -> None:
        # Renamed into its place: a program may read it at any moment.
        new = self.path.with_suffix(".new")
        new.write_text(f"{offset_seconds:+f}\n")
        new.replace(self.path)

    def environment(self) -> Mapping[str, str]:
        """Makes a program look at this clock. Its monotonic clock stays true, as it does when a clock is set.

        Raises NoClocksError.
        """
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


def library() -> Path:
    """Where libfaketime is. Raises NoClocksError."""
    for pattern in LIBRARIES:
        for path in Path("/").glob(pattern.removeprefix("/")):
            return path
    raise NoClocksError("libfaketime is not installed here (Debian: apt-get install libfaketime)")
