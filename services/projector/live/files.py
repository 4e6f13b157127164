"""The files of the read model in their folder, and which of them is the active one.

The file `current` names the active one; without it, `model.duckdb` is active. A rebuild writes `rebuild.duckdb`, which
is renamed to `model-<n>.duckdb`, a name never used before; then `current` is replaced. A file is never renamed over
another one: DuckDB would apply the other file's write-ahead log to it.
"""

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tollgate.contract.timestamps import format_us, now_us
from tollgate.runtime.durable_files import sync_folder
from tollgate.runtime.errors import TollgateError

logger = logging.getLogger(__name__)

_FIRST = "model.duckdb"
_OPEN_SUFFIX = ".open"
_NAME = re.compile(r"model(?:-(\d+))?\.duckdb", re.ASCII)


class LockedError(TollgateError):
    """Another process holds the lock."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The folder of the read model; it may be missing until something is written."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by the process that has the read model open."""
        return self.folder / "model.lock"

    def note_owner(self, instance: str) -> None:
        """Records which running projector has these files. Only for the holder of `lock`."""
        try:
            self._owner.write_text(instance)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._owner, error)

    def owner(self) -> str | None:
        """The projector that had these files last; None if it did not record itself."""
        try:
            return self._owner.read_text().strip() or None
        except FileNotFoundError:
            return None

    @property
    def rebuild_lock(self) -> Path:
        """Held by the process that writes `rebuild`."""
        return self.folder / "rebuild.lock"

    @property
    def rebuild(self) -> Path:
        return self.folder / "rebuild.duckdb"

    @property
    def current(self) -> Path:
        """The active file; it may be missing."""
        try:
            name = self._pointer.read_text().strip()
        except FileNotFoundError:
            name = _FIRST
        return self.folder / (name if _NAME.fullmatch(name) else _FIRST)

    def take_rebuilt(self) -> Path:
        """Renames the finished rebuild to a new name, which is not active yet. Only for the holder of `lock`."""
        numbers = [int(match[1] or 0) for path in self.folder.iterdir() if (match := _NAME.match(path.name))]
        path = self.folder / f"model-{max(numbers, default=0) + 1}.duckdb"
        # The index first: without a read model of its name it is removed by the next start.
        with suppress(FileNotFoundError):
            index_of(self.rebuild).rename(index_of(path))
        for of in (open_snapshot_of, filter_of):
            with suppress(FileNotFoundError):
                of(self.rebuild).rename(of(path))
        self.rebuild.rename(path)
        return path

    def make_current(self, path: Path) -> None:
        """Makes `path` the active read model, durably. Only for the holder of `lock`."""
        made = self._pointer.with_suffix(".new")
        with made.open("w") as file:
            file.write(path.name + "\n")
            file.flush()
            os.fsync(file.fileno())
        made.replace(self._pointer)
        sync_folder(self.folder)

    @property
    def log_changed(self) -> Path:
        """A file that records when and how the log changed, until an operator removes it."""
        return self.folder / "log-changed"

    @property
    def set_aside(self) -> Path:
        """The read model of a log that has changed; it may hold events that the log has lost."""
        return self.folder / "set-aside.duckdb"

    def note_change(self, contradiction: str) -> None:
        """Records that the log changed. An earlier record stays until an operator removes it."""
        if not self.log_changed.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log_changed.write_text(f"{contradiction}, as noticed at {format_us(now_us())}\n")

    def change(self) -> str | None:
        """The recorded change of the log; None if there is none."""
        try:
            return self.log_changed.read_text().strip()
        except FileNotFoundError:
            return None

    def put_aside(self, path: Path) -> None:
        """Sets aside a closed read model of a changed log, unless one already is. Only for the holder of `lock`."""
        if self.set_aside.exists():
            discard(path)
            return
        if (log := wal_of(path)).exists():
            log.rename(wal_of(self.set_aside))
        open_snapshot_of(path).unlink(missing_ok=True)
        path.rename(self.set_aside)
        discard_index(index_of(path))

    def sweep(self) -> None:
        """Removes inactive read models and an interrupted rebuild. Only for the holder of `lock`."""
        self.sweep_models()
        try:
            with locked(self.rebuild_lock):
                discard(self.rebuild)
        except LockedError:
            return

    def sweep_models(self) -> None:
        """Removes inactive read models. Only for the holder of `lock`."""
        current = self.current
        for name in {match[0] for path in self.folder.iterdir() if (match := _NAME.match(path.name))}:
            if name != current.name:
                discard(self.folder / name)

    @property
    def _owner(self) -> Path:
        return self.folder / "owner"

    @property
    def _pointer(self) -> Path:
        return self.folder / "current"


def wal_of(path: Path) -> Path:
    """The path at which DuckDB keeps the write-ahead log of a file."""
    return path.with_name(path.name + ".wal")


def index_of(path: Path) -> Path:
    """The path of the index of ids of a read model file (live/id_index.py)."""
    return path.with_name(path.name + ".ids")


def filter_of(path: Path) -> Path:
    """The path of the filter of ids of a read model file (live/known_filter.py)."""
    return path.with_name(path.name + ".filter")


def discard_index(path: Path) -> None:
    """Removes a closed index and its write-ahead log."""
    for suffix in ("-wal", "-shm", "", ".new"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def open_snapshot_of(path: Path) -> Path:
    """The path of the payments that have not ended, beside a read model (`open_snapshot.py`)."""
    return path.with_name(path.name + _OPEN_SUFFIX)


def unfinished_snapshot_of(path: Path) -> Path:
    """The path of that file while it is written."""
    return path.with_name(path.name + _OPEN_SUFFIX + ".new")


def discard(path: Path) -> None:
    """Removes a closed file and what belongs to it, the write-ahead log before the file: alone, it would be applied
    to the next file."""
    discard_index(index_of(path))
    filter_of(path).unlink(missing_ok=True)
    wal_of(path).unlink(missing_ok=True)
    open_snapshot_of(path).unlink(missing_ok=True)
    unfinished_snapshot_of(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock, at the latest until the process ends. Raises LockedError when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockedError(path) from None
        yield
