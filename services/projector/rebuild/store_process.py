"""The new read model file, written by a process of its own while the next rows are projected.

A thread would not do: Python runs one at a time, and projecting keeps it busy.
"""

import os
import signal
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, NoReturn, Self

from tollgate.projector.live.projection import EndedAs, Unread
from tollgate.projector.live.store import Checkpoint
from tollgate.projector.rebuild.bulk_projection import Rows
from tollgate.projector.rebuild.bulk_store import BulkStore, columns_of
from tollgate.runtime.errors import FatalError
from tollgate.runtime.lifeline import die_with_parent


class StoreProcess:
    """A `BulkStore` in another process. Every method raises FatalError as that does, or when the process has ended.

    Enter it before threads are started and connections opened: the process is a copy of this one, so that its programs
    are in memory once.
    """

    def __init__(self) -> None:
        self._connection, other = Pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _run(other, self._connection, parent)
        other.close()
        self._asking = Lock()
        """One question at a time: `write` is called by another thread than `ended_as`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        # Its file is finished, or is not needed any more.
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def open(self, path: Path, log_identity: str, filter_bytes: int) -> Self:
        """Creates the file."""
        self._ask(_open, path, log_identity, filter_bytes)
        return self

    def write(self, rows: Rows) -> None:
        self._ask(BulkStore.write_columns, columns_of(rows))

    def ended_as(self, correlation_id: str) -> EndedAs | None:
        found: EndedAs | None = self._ask(BulkStore.ended_as, correlation_id)
        return found

    def finish(self, checkpoint: Checkpoint, unread: Sequence[Unread] = ()) -> None:
        self._ask(BulkStore.finish, checkpoint, unread)

    def close(self) -> None:
        """Closes the file. The process goes on until this is left."""
        self._ask(BulkStore.close)

    def _ask(self, method: Any, *arguments: object) -> Any:
        with self._asking:
            try:
                self._connection.send((method, arguments))
                result, failure = self._connection.recv()
            except (EOFError, OSError) as error:
                raise FatalError("the process that writes the new read model has ended") from error
        if failure is not None:
            raise FatalError(failure)
        return result


def _open(path: Path, log_identity: str, filter_bytes: int) -> BulkStore:
    return BulkStore(path, log_identity, filter_bytes=filter_bytes)


def _run(questions: Connection, other: Connection, parent: int) -> NoReturn:
    """The new process."""
    try:
        # Ctrl-C reaches both, and the parent decides. A killed parent must leave nobody who writes.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        die_with_parent(parent, signal.SIGKILL)
        other.close()
        _serve(questions)
    except Exception:  # noqa: BLE001 - the parent reports that the process has ended
        traceback.print_exc()
    finally:
        # Nothing of the parent's is to be cleaned up here.
        os._exit(1)


def _serve(questions: Connection) -> None:
    """Answers until the parent has closed its end."""
    store: BulkStore | None = None
    while True:
        try:
            method, arguments = questions.recv()
        except EOFError:
            return
        try:
            if method is _open:
                store, result = _open(*arguments), None
            else:
                result = method(store, *arguments)
        except FatalError as error:
            questions.send((None, str(error)))
        else:
            questions.send((result, None))
