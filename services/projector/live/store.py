"""The read model's DuckDB file. This process is its only owner; one connection writes, another reads.

Every query fetches its whole result: a half-read result keeps its transaction open, which slows commits twentyfold.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from functools import partial
from importlib import resources
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Self
from uuid import UUID

import duckdb

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.log_mark import LogMark
from tollgate.contract.read_model_api import SummaryQuestion, Total
from tollgate.projector.live.ended_payment import EndedPayment
from tollgate.projector.live.files import index_of, wal_of
from tollgate.projector.live.id_index import IdIndex, IndexDamagedError
from tollgate.projector.live.projection import Change, Cleared, EndedAs, RejectedRow, SettledRow, Unread
from tollgate.projector.live.rollup import ROLLUP_RECENT_MAX, Window, chunk_of, first_sequence_of, partials
from tollgate.runtime.errors import FatalError, TollgateError

logger = logging.getLogger(__name__)

FORMAT = 3
"""The file format that this version writes and reads. A file of another format is rebuilt. (Format 2 has the layout of
3, but its projector could not read messages of several events, and may have set some aside.)"""
MEMORY_LIMIT = "32MB"
CHECKPOINT_THRESHOLD = "4MB"
"""DuckDB folds its write-ahead log into the file at this size: stalls of 14-20 ms, against 98 ms at its default."""

NO_CHECKPOINT_THRESHOLD = "1TB"
"""While the file is copied: the write-ahead log grows by some 100 bytes for each payment meanwhile."""
ROWS_IN_LOG_MAX = 122_880
"""DuckDB writes rows of a larger transaction directly into the file, a row group at a time."""

CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY_LIMIT,
    "threads": 1,
    "checkpoint_threshold": CHECKPOINT_THRESHOLD,
}

INDEXED_AT_ONCE = 8_192
"""Rows in memory while the index of ids is written."""

SORTED_AT_ONCE = 500_000
"""About so many rows are sorted by one query: with two million MEMORY_LIMIT is exceeded, although DuckDB spills."""

SAMPLED_IDS = 16_384
"""Ids from which the bounds of those queries are estimated."""

IDS_AT_ONCE = 16_384
"""Ids that are read in one query: not a stretch of the log, whose messages hold one event or many."""

Totals = dict[ProviderName, Total]


class UnusableFileError(TollgateError):
    """The file is torn, of another format, or of another log; the text states which. It has to be rebuilt."""


class DamagedModelError(FatalError):
    """A block of the open file does not match its checksum; the text names it. The file has to be rebuilt."""


class OtherLogError(UnusableFileError):
    """The file was built from another log."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The rows hold everything up to `position`; reading the log again has to begin at `replay_from`.

    `stored_at_us` is when the broker stored the message at `position`; None when there is none or that is not known.
    """

    position: int = 0
    replay_from: int = 1
    stored_at_us: int | None = None

    def mark(self, log_identity: str) -> LogMark:
        """The mark of the log that was read."""
        if self.stored_at_us is None:
            return LogMark(log_identity, end=self.position)
        return LogMark(log_identity, self.position, self.stored_at_us, self.position)


class Store:
    """An open read model of the log with this identity."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, checkpoint: Checkpoint, path: Path, log_identity: str
    ) -> None:
        self.path = path
        """Of the open file. It is not renamed while it is open."""
        self._writer = connection
        self._reader = connection.cursor()
        self._reading = Lock()
        self._recent_partials = self._count("rollup_recent")
        self.checkpoint = checkpoint
        self._index = IdIndex.open(
            *(index_of(path), log_identity, checkpoint.position),
            partial(encoded_rows, connection),
            purged_at=self.purged_at(),
        )

    @classmethod
    def open(cls, path: Path, log_identity: str) -> Self:
        """Opens the file, or creates it. Raises UnusableFileError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = duckdb.connect(str(path), config=CONFIGURATION)
        except duckdb.Error as error:
            raise UnusableFileError(f"cannot be opened: {str(error).splitlines()[0]}") from error
        try:
            return cls(connection, prepare(connection, log_identity), path, log_identity)
        except duckdb.Error as error:
            connection.close()
            raise UnusableFileError(f"cannot be read: {str(error).splitlines()[0]}") from error
        except DamagedModelError as error:
            connection.close()
            raise UnusableFileError(f"is damaged: {error}") from error
        except (UnusableFileError, FatalError):
            connection.close()
            raise

    def close(self) -> None:
        self._index.close()
        self._reader.close()
        self._writer.close()

    def commit(self, changes: Sequence[Change], checkpoint: Checkpoint) -> None:
        """Writes the changes and the checkpoint in one transaction, durably. Raises FatalError."""
        self._writer.begin()
        try:
            for run in _runs(changes):
                self._write(run)
            write_checkpoint(self._writer, checkpoint)
            self._writer.commit()
        except duckdb.Error as error:
            check_damage(error)
            # No rollback: the connection may be unusable, and the next start continues from the last commit.
            raise FatalError(f"the read model cannot be written: {str(error).splitlines()[0]}") from error
        # After the rows: what a crash leaves out of the index is found in them at the next start.
        self._index.add(changes, checkpoint.position)
        self.checkpoint = checkpoint

    def totals(self, question: SummaryQuestion, *, asked_at_us: int, log_end: int) -> tuple[Totals, int]:
        """Sums of the charges stamped in the window, as of the time of the query; and how many were charged after it.

        A charge counts when the log held it then (`log_end`), or when its answer had arrived by then and was recorded
        later.
        """
        window = Window(question.from_us, question.to_us)
        rows = self._read(_TOTALS_NOW, {**window.parameters, "asked_at_us": asked_at_us, "log_end": log_end})
        return _totals(rows), sum(int(later) for *_, later in rows)

    def totals_as_of(self, question: SummaryQuestion, position: int) -> Totals:
        """Sums of the charges stamped in the window that the log held when it ended at `position`.

        Not available for positions before the last purge (`purged_at`), which voided the rows.
        """
        chunk = chunk_of(position)
        known = {"chunk": chunk, "chunk_begin": first_sequence_of(chunk), "position": position}
        window = Window(question.from_us, question.to_us)
        return _totals(self._read(_TOTALS_AS_OF, {**window.parameters, **known}))

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Another connection to the file, for queries that take long. The caller closes it."""
        return self._writer.cursor()

    def purged_at(self) -> int:
        """The position of the last purge; 0 if there was none."""
        return int(self._read("SELECT coalesce(max(position), 0) FROM purged", {})[0][0])

    def unread(self) -> tuple[int, int]:
        """How many messages of the log could not be read, and the sequence of the first; zeros if none."""
        ((count, first),) = self._read(
            "SELECT coalesce(sum(last_sequence - first_sequence + 1), 0)::BIGINT, coalesce(min(first_sequence), 0)"
            " FROM unread",
            {},
        )
        return count, first

    def rows(self) -> tuple[int, int]:
        """How many payments are settled, and how many rejected."""
        ((settled, rejected),) = self._read(
            "SELECT (SELECT count(*) FROM settled), (SELECT count(*) FROM rejected)", []
        )
        return settled, rejected

    def begin_copy(self) -> None:
        """From here on commits are in the write-ahead log only, until `end_copy`, and the file does not change.

        (A transaction of ROWS_IN_LOG_MAX rows or more would still change it.) Only the thread that commits may call it.
        """
        self._writer.execute(f"SET checkpoint_threshold = '{NO_CHECKPOINT_THRESHOLD}'")

    def copy_file(self, target: Path) -> None:
        """Copies the file between `begin_copy` and `end_copy`; any thread may do that."""
        shutil.copyfile(self.path, target)

    def end_copy(self, target: Path) -> None:
        """Copies the write-ahead log as of the last commit. Only the thread that commits may call it."""
        try:
            if (log := wal_of(self.path)).exists():
                shutil.copyfile(log, wal_of(target))
        finally:
            self._writer.execute(f"SET checkpoint_threshold = '{CHECKPOINT_THRESHOLD}'")

    def recently_ended(self, count: int) -> list[tuple[str, EndedAs]]:
        """The payments rejected last and settled last, at most `count` of each, each kind oldest first."""
        ended: list[tuple[str, EndedAs]] = []
        kinds: tuple[EndedAs, ...] = ("rejected", "settled")
        for kind in kinds:
            # By the numbers of the rows: sorting ten million of them exceeds MEMORY_LIMIT.
            ((end,),) = self._read(f"SELECT coalesce(max(rowid) + 1, 0) FROM {kind}", [])  # noqa: S608
            query = f"SELECT correlation_id::VARCHAR FROM {kind} WHERE rowid >= ? ORDER BY rowid"  # noqa: S608
            ended += [(correlation_id, kind) for (correlation_id,) in self._read(query, [end - count])]
        return ended

    def ended(self, correlation_id: str) -> EndedPayment | None:
        """The payment, if it has a row."""
        try:
            return self._index.find(correlation_id)
        except IndexDamagedError:
            return self.scan(correlation_id)

    def scan(self, correlation_id: str) -> EndedPayment | None:
        """The same from the rows, without the index: it reads the whole table."""
        name: list[object] = [UUID(correlation_id)]
        for provider, amount_cents, sequences in self._read(_SETTLED_PAYMENT, name):
            return EndedPayment("processed", amount_cents, provider, sequences)
        for amount_cents, sequences in self._read(_REJECTED_PAYMENT, name):
            return EndedPayment("rejected", amount_cents, None, sequences)
        return None

    def ids_after(self, position: int) -> Iterator[list[str]]:
        """The ids of the payments that ended after the position, up to the call, in bounded lists.

        Each list is a query of its own: a long one would slow down the commits meanwhile. Raises FatalError.
        """
        with closing(self.cursor()) as cursor:
            try:
                ((first, end),) = cursor.execute(_ROWS_AFTER, [position]).fetchall()
                for begin in range(first, end, IDS_AT_ONCE):
                    rows = [begin, min(begin + IDS_AT_ONCE, end)]
                    yield [one for (one,) in cursor.execute(_IDS_BETWEEN, rows).fetchall()]
                yield [one for (one,) in cursor.execute(_REJECTED_IDS, [position]).fetchall()]
            except duckdb.Error as error:
                raise FatalError(f"the read model cannot be read: {str(error).splitlines()[0]}") from error

    def _count(self, table: str) -> int:
        return int(self._read(f"SELECT count(*) FROM {table}", {})[0][0])  # noqa: S608

    def _read(self, query: str, parameters: list[object] | dict[str, object]) -> list[Any]:
        # Several threads query; a cursor serves one at a time.
        with self._reading:
            try:
                return self._reader.execute(query, parameters).fetchall()
            except duckdb.Error as error:
                check_damage(error)
                raise

    def _write(self, run: Sequence[Change]) -> None:
        match run[0]:
            case Cleared():
                for table in ("settled", "rejected", "rollup", "rollup_recent", "purged", "unread"):
                    self._writer.execute(f"TRUNCATE {table}")
                self._recent_partials = 0
                self._append("purged", [(change.position,) for change in run if isinstance(change, Cleared)])
            case SettledRow():
                self._append("settled", map(_values, run))
                self._roll_up([row for row in run if isinstance(row, SettledRow)])
            case RejectedRow():
                self._append("rejected", map(_values, run))
            case Unread():
                self._append("unread", map(astuple, run))

    def _roll_up(self, rows: Sequence[SettledRow]) -> None:
        added = partials(rows)
        self._append("rollup_recent", added)
        self._recent_partials += len(added)
        if self._recent_partials > ROLLUP_RECENT_MAX:
            self._writer.execute(_COMPACT)
            self._writer.execute("TRUNCATE rollup_recent")
            self._recent_partials = 0

    def _append(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        appender = self._writer.appender(table)
        appender.append_rows(rows)
        appender.flush()


def prepare(connection: duckdb.DuckDBPyConnection, log_identity: str) -> Checkpoint:
    """Creates the tables that are missing. Returns the last checkpoint. Raises UnusableFileError."""
    known = connection.execute("SELECT table_name FROM duckdb_tables() WHERE table_name = 'meta'").fetchall()
    if known:
        found = connection.execute("SELECT format, log_identity FROM meta").fetchall()
        if found != [(FORMAT, log_identity)]:
            kind = OtherLogError if found and found[0][0] == FORMAT else UnusableFileError
            raise kind(f"is of format and log {found}, not {(FORMAT, log_identity)}")
    connection.begin()
    connection.execute(resources.files("tollgate.projector").joinpath("sql").joinpath("schema.sql").read_text())
    if not known:
        connection.execute("INSERT INTO meta VALUES (?, ?)", [FORMAT, log_identity])
    rows = connection.execute(_LAST_CHECKPOINT).fetchall()
    if rows:
        for table in ("checkpoint", "log_mark"):
            connection.execute(f"DELETE FROM {table} WHERE position < ?", [rows[0][0]])  # noqa: S608
    connection.commit()
    return Checkpoint(*rows[0]) if rows else Checkpoint()


def encoded_rows(connection: duckdb.DuckDBPyConnection, position: int) -> Iterator[list[tuple[bytes, str]]]:
    """The payments that ended after the position, as the index of ids holds them, sorted by id. Raises FatalError."""
    with closing(connection.cursor()) as cursor:
        try:
            for first, end in pairwise(_bounds(cursor, position)):
                ids = {"first": UUID(int=first), "last": UUID(int=end - 1)}
                cursor.execute(_ENDED_PAYMENTS, {"position": position, **ids})
                while rows := cursor.fetchmany(INDEXED_AT_ONCE):
                    yield rows
        except duckdb.Error as error:
            check_damage(error)
            raise FatalError(f"the read model cannot be indexed: {str(error).splitlines()[0]}") from error


def check_damage(error: duckdb.Error) -> None:
    """Raises DamagedModelError if DuckDB has found a damaged block. It has no error of its own for that."""
    first_line = str(error).partition("\n")[0]
    if "computed checksum" in first_line:
        raise DamagedModelError(f"the read model is damaged: {first_line}") from error


def _bounds(cursor: duckdb.DuckDBPyConnection, position: int) -> list[int]:
    """Ids between which about SORTED_AT_ONCE payments lie that ended after the position, with 0 and the end of all."""
    ((count,),) = cursor.execute("SELECT count(*) FROM settled WHERE processed_sequence > ?", [position]).fetchall()
    stretches = -(-count // SORTED_AT_ONCE)
    if stretches <= 1:
        return [0, _IDS_END]
    sampled = sorted(one.int for (one,) in cursor.execute(_SOME_IDS, [position]).fetchall())
    inner = {sampled[len(sampled) * number // stretches] for number in range(1, stretches)}
    return sorted({0, _IDS_END} | inner)


def write_checkpoint(connection: duckdb.DuckDBPyConnection, checkpoint: Checkpoint) -> None:
    """Adds the checkpoint. Call it inside the transaction that writes its rows."""
    connection.execute("INSERT INTO checkpoint VALUES (?, ?)", [checkpoint.position, checkpoint.replay_from])
    if checkpoint.stored_at_us is not None:
        connection.execute("INSERT INTO log_mark VALUES (?, ?)", [checkpoint.position, checkpoint.stored_at_us])


def _runs(changes: Sequence[Change]) -> list[list[Change]]:
    """The changes in order, split where their kind changes."""
    runs: list[list[Change]] = []
    for change in changes:
        if not runs or type(runs[-1][0]) is not type(change):
            runs.append([])
        runs[-1].append(change)
    return runs


def _values(row: Any) -> tuple[Any, ...]:
    match row:
        case SettledRow():
            return (
                UUID(row.correlation_id),
                row.provider,
                row.amount_cents,
                row.requested_at_us,
                row.processed_at_us,
                row.attempt,
                row.sequences[-1],
                row.sequences,
            )
        case _:
            return UUID(row.correlation_id), row.amount_cents, row.reason, row.sequences


def _totals(rows: Sequence[tuple[Any, ...]]) -> Totals:
    totals: Totals = {name: Total() for name in PROVIDERS}
    for provider, count, amount_cents, *_ in rows:
        totals[provider] = Total(int(count), int(amount_cents))
    return totals


_SETTLED_PAYMENT = "SELECT processor, amount_cents, sequences FROM settled WHERE correlation_id = ? LIMIT 1"
_REJECTED_PAYMENT = "SELECT amount_cents, sequences FROM rejected WHERE correlation_id = ? LIMIT 1"
_IDS_END = 1 << 128
_SOME_IDS = (
    "SELECT correlation_id FROM (SELECT correlation_id FROM settled WHERE processed_sequence > ?)"  # noqa: S608
    f" USING SAMPLE reservoir({SAMPLED_IDS} ROWS) REPEATABLE (1)"
)
_ROWS_AFTER = """
SELECT coalesce(min(rowid), 0), coalesce(max(rowid) + 1, 0) FROM settled WHERE processed_sequence > ?
"""
_IDS_BETWEEN = "SELECT correlation_id::VARCHAR FROM settled WHERE rowid >= ? AND rowid < ?"
_REJECTED_IDS = "SELECT correlation_id::VARCHAR FROM rejected WHERE sequences[-1] > ?"
_LAST_CHECKPOINT = """
SELECT position, replay_from, (SELECT max(stored_at_us) FROM log_mark WHERE log_mark.position = checkpoint.position)
FROM checkpoint ORDER BY position DESC LIMIT 1
"""
_SQL = resources.files("tollgate.projector").joinpath("sql")
_TOTALS_NOW = _SQL.joinpath("totals_now.sql").read_text()
_TOTALS_AS_OF = _SQL.joinpath("totals_as_of.sql").read_text()
_ENDED_PAYMENTS = _SQL.joinpath("ended_payments.sql").read_text()
_COMPACT = _SQL.joinpath("compact.sql").read_text()
