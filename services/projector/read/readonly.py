"""Read access to the read model for other processes: a copy while the projector runs, the file itself otherwise.

DuckDB does not let a process open a file that another has open for writing, not even to read.
"""

import contextlib
import fcntl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from tollgate.messaging.operator_command import CommandError, broker_for_command
from tollgate.messaging.read_model_client import ReadModel
from tollgate.projector.live.files import discard
from tollgate.projector.live.store import UnusableFileError
from tollgate.projector.settings import Settings

SNAPSHOT_SECONDS = 60.0
MEMORY_LIMIT = "256MB"
"""Memory limit of a reader. Beyond it DuckDB spills to disk."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that no process writes to. It holds everything up to `position`."""

    path: Path
    position: int


@contextlib.asynccontextmanager
async def model_file(settings: Settings) -> AsyncIterator[ModelFile]:
    """The read model as of now, while the context is held. Raises CommandError or ReadModelUnavailableError."""
    with idle_model_file(settings) as idle:
        if idle is not None:
            yield idle
            return
    async with broker_for_command(settings) as broker:
        snapshot = await ReadModel(broker).snapshot(
            timeout_seconds=SNAPSHOT_SECONDS, instance=settings.model_files.owner()
        )
    path = settings.snapshots_path / snapshot.name
    if not path.is_file():
        raise CommandError(f"the projector that answers keeps its files elsewhere than in {settings.data_dir}")
    try:
        yield ModelFile(path, max(snapshot.position, committed_position(path)))
    finally:
        discard(path)


@contextlib.contextmanager
def idle_model_file(settings: Settings) -> Iterator[ModelFile | None]:
    """The file itself, which no projector can open while the context is held; None when a projector owns it.

    Raises CommandError when there is none.
    """
    if not settings.model_files.folder.is_dir():
        raise CommandError(f"there is no read model in {settings.data_dir}: set DATA_DIR to that of the projector")
    with settings.model_files.lock.open("a") as lock:
        try:
            # Readers share the lock.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        path = settings.model_path
        if not path.is_file():
            raise CommandError(f"there is no read model in {settings.data_dir}, and no projector that would make it")
        yield ModelFile(path, committed_position(path))


def open_read_only(path: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the file. Times are in UTC. Raises UnusableFileError."""
    try:
        connection = duckdb.connect(str(path), read_only=True, config={"memory_limit": MEMORY_LIMIT, "threads": 2})
        connection.execute("SET TimeZone = 'UTC'")
    except duckdb.Error as error:
        raise UnusableFileError(f"cannot be opened: {first_line(error)}") from error
    return connection


def make_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Creates the views `settled_payments` and `rejected_payments`, for this connection only."""
    connection.execute(resources.files("tollgate.projector").joinpath("sql").joinpath("views.sql").read_text())


def committed_position(path: Path) -> int:
    """The position in the file's last checkpoint. Raises CommandError."""
    try:
        with contextlib.closing(open_read_only(path)) as connection:
            return int(connection.execute("SELECT coalesce(max(position), 0) FROM checkpoint").fetchall()[0][0])
    except (UnusableFileError, duckdb.Error) as error:
        raise CommandError(f"{path} cannot be read: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """The first line of DuckDB's message; the others are hints and parts of the statement."""
    return (str(error).splitlines() or [type(error).__name__])[0]
