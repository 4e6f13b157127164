"""The exact index of the payments that have ended: id -> `EndedPayment`, in an SQLite file beside the read model.

It is made from the rows of the read model and written after them, so a crash leaves it behind, never ahead: when it is
opened, the rows after its position are added. A file that is missing, damaged, of another log, or ahead of the read
model is written anew. Payments that are not in the file yet are held in memory, INDEX_BATCH of them or a little more;
single commits are smaller, and each would sync the broker's disk once more.

Each page has a checksum (SQLite's cksumvfs), which is compared whenever the page is read from the file: a known payment
must not be taken for a new one because a byte of its id, or of the way to it, has changed.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

import apsw
from apsw import sqlite_extra

from tollgate.projector.live.ended_payment import EndedPayment
from tollgate.projector.live.files import discard_index
from tollgate.projector.live.projection import Change, Cleared, RejectedRow, SettledRow
from tollgate.runtime.errors import FatalError, TollgateError

logger = logging.getLogger(__name__)

FORMAT = 2
"""Format 1 had no checksums."""
PAGE_BYTES = 4_096
CHECKSUM_BYTES = 8
INDEX_BATCH = 4_096
CACHE_KILOBYTES = 1_024
"""For each of the two connections; the operating system caches the file besides."""
BUSY_SECONDS = 30.0

Encoded = tuple[bytes, str]
RowsAfter = Callable[[int], Iterator[list[Encoded]]]
"""The payments that ended after a position, sorted by id, in lists of bounded length."""


class IndexDamagedError(TollgateError):
    """The file cannot be read any more. It is removed, and the next start writes it anew."""


class IndexUnusableError(TollgateError):
    """The file has to be written anew; the text is the reason."""


class IdIndex:
    """An open index. `add` is called by one thread, `find` by any."""

    def __init__(self, path: Path, position: int) -> None:
        self._path = path
        self._position = position
        self._writer, self._reader = connect(path), connect(path)
        self._reading = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="id-index")
        self._written: Future[None] | None = None
        self._is_damaged = False
        self._held: dict[str, EndedPayment] = {}
        self._being_written: dict[str, EndedPayment] = {}

    @classmethod
    def open(
        cls, path: Path, log_identity: str, position: int, rows_after: RowsAfter, *, purged_at: int = 0
    ) -> "IdIndex":
        """Opens the index of a read model at `position`, and adds what is missing. Raises FatalError."""
        try:
            try:
                known = _position_of(path, log_identity, purged_at, position)
                if known < position:
                    with closing(connect(path)) as connection:
                        _fill(connection, rows_after(known), position)
            except (IndexUnusableError, apsw.Error) as error:
                if position:
                    logger.warning("%s %s; writing it from the read model", path.name, what_is_wrong(path, error))
                write_index(path, log_identity, position, rows_after(0))
            return cls(path, position)
        except apsw.Error as error:
            raise _unwritable(error) from error

    def add(self, changes: Sequence[Change], position: int) -> None:
        """Adds what the read model has committed up to `position`. Raises FatalError when the file cannot be written.

        Waits for the file only when a whole batch is being written already.
        """
        if self._is_damaged:
            return
        for change in changes:
            match change:
                case SettledRow():
                    ended = EndedPayment("processed", change.amount_cents, change.provider, change.sequences)
                    if self._held.get(change.correlation_id, ended).how == "rejected":
                        del self._held[change.correlation_id]
                    self._held.setdefault(change.correlation_id, ended)
                case RejectedRow():
                    ended = EndedPayment("rejected", change.amount_cents, None, change.sequences)
                    self._held.setdefault(change.correlation_id, ended)
                case Cleared(purged_at):
                    self._clear(purged_at)
        self._position = position
        if len(self._held) >= INDEX_BATCH:
            self.flush()

    def find(self, correlation_id: str) -> EndedPayment | None:
        """The payment, if it has ended. Raises IndexDamagedError, once and from then on."""
        # Read in the order in which a payment moves: from `_held` over `_being_written` into the file.
        held, being_written = self._held.get(correlation_id), self._being_written.get(correlation_id)
        if self._is_damaged:
            raise IndexDamagedError
        try:
            with self._reading:
                found = self._reader.execute("SELECT value FROM ids WHERE id = ?", [_key(correlation_id)]).fetchall()
        except apsw.Error as error:
            self._note_damage(error)
            raise IndexDamagedError from error
        return _first((*(EndedPayment.decode(str(value)) for (value,) in found), being_written, held))

    def flush(self) -> None:
        """Starts writing what is held, after what is being written. Raises FatalError if that failed."""
        self._wait()
        # The new names first: `find` then finds a payment in one of the two at any moment.
        self._being_written = self._held
        self._held = {}
        self._written = self._thread.submit(self._write, self._being_written, self._position)

    def close(self) -> None:
        """Writes what is held, and closes the file. A failure is logged: the next start adds what is missing."""
        try:
            self.flush()
            self._wait()
        except FatalError as error:
            logger.error("%s", error)
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()

    def _wait(self) -> None:
        written, self._written = self._written, None
        if written is None:
            return
        try:
            written.result()
        except apsw.Error as error:
            if not _is_damage(error):
                raise _unwritable(error) from error
            self._note_damage(error)
        self._being_written = {}

    def _note_damage(self, error: apsw.Error) -> None:
        if not self._is_damaged:
            logger.error(
                "%s %s: payments are searched row by row until the next start, which writes it anew",
                *(self._path.name, what_is_wrong(self._path, error)),
            )
            self._is_damaged = True
            discard_index(self._path)

    def _write(self, payments: dict[str, EndedPayment], position: int) -> None:
        rows = sorted((_key(one), payment.encode()) for one, payment in payments.items())
        _fill(self._writer, [rows], position)

    def _clear(self, purged_at: int) -> None:
        self._wait()
        self._held = {}
        try:
            self._writer.execute("BEGIN")
            self._writer.execute("DELETE FROM ids")
            self._writer.execute("UPDATE meta SET position = ?", [purged_at])
            self._writer.execute("COMMIT")
        except apsw.Error as error:
            raise _unwritable(error) from error


def write_index(path: Path, log_identity: str, position: int, rows: Iterable[list[Encoded]]) -> None:
    """Writes a new file in place of the one at `path`. Raises apsw.Error, and what `rows` raises."""
    discard_index(path)
    unfinished = path.with_name(path.name + ".new")
    discard_index(unfinished)
    with closing(connect(unfinished)) as connection:
        # Without a journal: an unfinished file is discarded. Until it is renamed nobody reads it.
        connection.pragma("journal_mode", "OFF")
        connection.pragma("synchronous", "OFF")
        connection.reserve_bytes("main", CHECKSUM_BYTES)
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES (?, ?, 0)", [FORMAT, log_identity])
        _fill(connection, rows, position)
        connection.pragma("synchronous", "FULL")
        connection.pragma("journal_mode", "WAL")
    unfinished.rename(path)


def position_of(connection: apsw.Connection, log_identity: str) -> int:
    """The position of an index of the log with this identity. Raises apsw.Error and IndexUnusableError."""
    position: Any
    ((format_, identity, position),) = connection.execute("SELECT format, log_identity, position FROM meta").fetchall()
    # The page that was read for it states whether pages have checksums.
    if (format_, identity) != (FORMAT, log_identity) or str(connection.pragma("checksum_verification")) != "1":
        raise IndexUnusableError("is of another format or log")
    return int(position)


def what_is_wrong(path: Path, error: Exception) -> str:
    """Names the damaged page, if the error is that one does not match its checksum."""
    if isinstance(error, IndexUnusableError):
        return str(error)
    offset = _faults.pop(str(path.absolute()), None)
    if offset is None:
        return f"is damaged ({error})"
    return f"is damaged: its page {offset // PAGE_BYTES + 1}, from byte {offset} on, does not match its checksum"


def _position_of(path: Path, log_identity: str, purged_at: int, position_max: int) -> int:
    """The index's position. Raises IndexUnusableError when it is outside these bounds, and apsw.Error."""
    if not path.exists():
        raise IndexUnusableError("is missing")
    with closing(connect(path)) as connection:
        position = position_of(connection, log_identity)
        if not purged_at <= position <= position_max:
            raise IndexUnusableError(f"is at {position}, the read model at {position_max} and purged at {purged_at}")
        # A page that is damaged elsewhere raises an error when it is read.
        return position


def connect(path: Path) -> apsw.Connection:
    """A connection whose pages are compared with their checksums, if the file has any."""
    _ensure_checksums()
    connection = apsw.Connection(str(path.absolute()))
    connection.set_busy_timeout(int(BUSY_SECONDS * 1_000))
    connection.pragma("cache_size", -CACHE_KILOBYTES)
    connection.pragma("synchronous", "NORMAL")
    return connection


def _ensure_checksums() -> None:
    """Loads the layer below SQLite that computes and compares checksums, once for the process."""
    if "cksmvfs" not in apsw.vfs_names():
        with closing(apsw.Connection(":memory:")) as connection:
            sqlite_extra.load(connection, "cksumvfs")


def _note_fault(code: int, message: str) -> None:
    """Keeps the place of a page that does not match its checksum: SQLite's error does not have it."""
    if code == apsw.SQLITE_IOERR_DATA and (match := _FAULT.match(message)) is not None:
        _faults[match[2]] = int(match[1])


_FAULT = re.compile(r'checksum fault offset (\d+) of "(.*?)(?:-wal)?"')
_faults: dict[str, int] = {}
"""File -> offset of the page that was found to be damaged last."""
apsw.config(apsw.SQLITE_CONFIG_LOG, _note_fault)


def _is_damage(error: apsw.Error) -> bool:
    """Whether the file is damaged. Otherwise it cannot be written now, such as on a full disk."""
    return isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.SQLError) or (
        # Each error of SQLite has it; the types of apsw do not.
        getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA
    )


def _fill(connection: apsw.Connection, rows: Iterable[list[Encoded]], position: int) -> None:
    """Adds the rows and sets the position in one transaction. Adding a row again changes nothing."""
    connection.execute("BEGIN")
    try:
        for some in rows:
            connection.executemany(_PUT, some)
        connection.execute("UPDATE meta SET position = ?", [position])
        connection.execute("COMMIT")
    except BaseException:
        with suppress(apsw.Error):
            connection.execute("ROLLBACK")
        raise


def _first(payments: Iterable[EndedPayment | None]) -> EndedPayment | None:
    """The first that was processed; without one, the first that was rejected."""
    known = [one for one in payments if one is not None]
    return next((one for one in known if one.how == "processed"), known[0] if known else None)


def _key(correlation_id: str) -> bytes:
    return UUID(correlation_id).bytes


def _unwritable(error: apsw.Error) -> FatalError:
    return FatalError(f"the index of payment ids cannot be written: {error}")


_SCHEMA = (
    "CREATE TABLE meta (format INTEGER NOT NULL, log_identity TEXT NOT NULL, position INTEGER NOT NULL)",
    "CREATE TABLE ids (id BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
_PUT = """
INSERT INTO ids VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value
WHERE substr(value, 1, 1) = 'r' AND substr(excluded.value, 1, 1) <> 'r'
"""
"""The first end of a payment counts, and a charge more than a rejection, as in the read model."""
