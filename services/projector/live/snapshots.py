"""Copies of the read model for operator commands, in a folder beside it.

While the projector runs, no other process can open its file, not even to read. The command that requested a copy
deletes it; copies left by commands that died are removed when the projector starts, or when they are an hour old.
"""

import time
from pathlib import Path
from uuid import uuid4

from tollgate.projector.live.files import discard
from tollgate.runtime.errors import TollgateError

SNAPSHOTS_MAX = 4
SNAPSHOT_SECONDS_MAX = 3600.0


class TooManySnapshotsError(TollgateError):
    """The limit of copies in use is reached."""


class Snapshots:
    """The folder of the copies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def clear(self) -> None:
        """Removes every copy; for the start, when no command can be using one."""
        for path in self._copies():
            discard(path)

    def new_path(self) -> Path:
        """The path of the next copy. Raises TooManySnapshotsError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._copies():
            if _age_seconds(path) > SNAPSHOT_SECONDS_MAX:
                discard(path)
        if len(self._copies()) >= SNAPSHOTS_MAX:
            raise TooManySnapshotsError(f"{SNAPSHOTS_MAX} copies of the read model are in use; try again later")
        path = self._folder / f"{uuid4().hex}.duckdb"
        # It counts towards the limit from here on, also while it is being written.
        path.touch()
        return path

    def _copies(self) -> list[Path]:
        return list(self._folder.glob("*.duckdb"))


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
