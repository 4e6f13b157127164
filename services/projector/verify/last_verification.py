"""What the last `projector verify` found: a file beside the read model, from which the projector makes metrics."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tollgate.runtime.records import read_record, replace_record

LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LastVerification:
    """When it ended, and how many differences it found."""

    ended_at_us: int
    differences: int


class VerificationRecord:
    """The file in the folder of the read model; `seen` is what it held at the last look."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "last-verification.json"
        self.seen: LastVerification | None = None

    async def run(self) -> None:
        """Looks until cancelled, so that nobody who asks for metrics waits for the file."""
        while True:
            self.seen = await asyncio.to_thread(self.read)
            await asyncio.sleep(LOOK_SECONDS)

    def read(self) -> LastVerification | None:
        """The record; None if there is none that can be used. Blocks."""
        return read_record(LastVerification, self._path)

    def write(self, found: LastVerification) -> None:
        """Replaces the record. What cannot be written is left out: the age of the last one shows it. Blocks."""
        replace_record(self._path, found)
