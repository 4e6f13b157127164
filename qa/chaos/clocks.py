"""Wall clocks that can be set, one for each program, by libfaketime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
"""Paths in Debian and others; MT is the variant for programs with threads."""


class NoClocksError(Exception):
    """No clock can be set here; the text states why."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock of a program: the true time plus an offset, which the file `path` holds."""

    path: Path

    def set(self, offset_seconds: float) -> None:
        # Replaced by a rename: a program may read it at any time.
        new = self.path.with_suffix(".new")
        new.write_text(f"{offset_seconds:+f}\n")
        new.replace(self.path)

    def environment(self) -> Mapping[str, str]:
        """The environment that makes a program use this clock. Its monotonic clock stays true, as when a clock is set.

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
    """The path of libfaketime. Raises NoClocksError."""
    for pattern in LIBRARIES:
        for path in Path("/").glob(pattern.removeprefix("/")):
            return path
    raise NoClocksError("libfaketime is not installed here (Debian: apt-get install libfaketime)")
