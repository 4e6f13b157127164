"""The files of the read model in their folder, and which of them counts.

`current` names the file that is the read model; without it, `model.duckdb` is. A rebuild writes `rebuild.duckdb`, which
becomes `model-<n>.duckdb`, a name that was never used, and then `current` is replaced. A file is never renamed over
another one: that one's write-ahead log would be taken for its own.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tollgate.contract.timestamps import format_us, now_us
from tollgate.runtime.errors import TollgateError

_FIRST = "model.duckdb"
_NAME = re.compile(r"model(?:-(\d+))?\.duckdb", re.ASCII)


class LockedError(TollgateError):
    """Another process holds the lock."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The folder may be missing until something is written."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by whoever has the read model open."""
        return self.folder / "model.lock"

    @property
    def rebuild_lock(self) -> Path:
        """Held by whoever writes `rebuild`."""
        return self.folder / "rebuild.lock"

    @property
    def rebuild(self) -> Path:
        return self.folder / "rebuild.duckdb"

    @property
    def current(self) -> Path:
        """The file that is the read model now; it may be missing."""
        try:
            name = self._pointer.read_text().strip()
        except FileNotFoundError:
            name = _FIRST
        return self.folder / (name if _NAME.fullmatch(name) else _FIRST)

    def take_rebuilt(self) -> Path:
        """Gives the finished rebuild a name of its own, which does not count yet. Only for the holder of `lock`."""
        numbers = [int(match[1] or 0) for path in self.folder.iterdir() if (match := _NAME.match(path.name))]
        path = self.folder / f"model-{max(numbers, default=0) + 1}.duckdb"
        self.rebuild.rename(path)
        return path

    def make_current(self, path: Path) -> None:
        """From here on `path` is the read model, whenever the machine stops. Only for the holder of `lock`."""
        made = self._pointer.with_suffix(".new")
        with made.open("w") as file:
            file.write(path.name + "\n")
            file.flush()
            os.fsync(file.fileno())
        made.replace(self._pointer)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @property
    def log_changed(self) -> Path:
        """Says when and how the log changed, until an operator removes it."""
        return self.folder / "log-changed"

    @property
    def set_aside(self) -> Path:
        """The read model of a log that changed; it may hold what the log has lost."""
        return self.folder / "set-aside.duckdb"

    def note_change(self, contradiction: str) -> None:
        """Remembers that the log changed. What was noted before stays, until an operator removes it."""
        if not self.log_changed.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log_changed.write_text(f"{contradiction}, as noticed at {format_us(now_us())}\n")

    def change(self) -> str | None:
        """How the log changed, as it was noted; None if it did not."""
        try:
            return self.log_changed.read_text().strip()
        except FileNotFoundError:
            return None

    def put_aside(self, path: Path) -> None:
        """Keeps a closed read model that is void, unless one is kept already. Only for the holder of `lock`."""
        if self.set_aside.exists():
            discard(path)
            return
        if (log := wal_of(path)).exists():
            log.rename(wal_of(self.set_aside))
        path.rename(self.set_aside)

    def sweep(self) -> None:
        """Removes read models that do not count, and a rebuild that was broken off. Only for the holder of `lock`."""
        self.sweep_models()
        try:
            with locked(self.rebuild_lock):
                discard(self.rebuild)
        except LockedError:
            return

    def sweep_models(self) -> None:
        """Removes read models that do not count. Only for the holder of `lock`."""
        current = self.current
        for name in {path.name.removesuffix(".wal") for path in self.folder.iterdir()}:
            if _NAME.fullmatch(name) and name != current.name:
                discard(self.folder / name)

    @property
    def _pointer(self) -> Path:
        return self.folder / "current"


def wal_of(path: Path) -> Path:
    """Where DuckDB keeps the write-ahead log of a file."""
    return path.with_name(path.name + ".wal")


def discard(path: Path) -> None:
    """Removes a closed file with its write-ahead log, the latter first: left alone, it would spoil the next file."""
    wal_of(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock; it is let go with the process at the latest. Raises LockedError when another one holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockedError(path) from None
        yield
