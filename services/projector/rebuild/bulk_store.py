"""A read model file for bulk writes. Nothing reads it before it is finished; an unfinished one is discarded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

import apsw
import duckdb

from tollgate.projector.live import known_filter
from tollgate.projector.live.files import filter_of, index_of
from tollgate.projector.live.id_index import write_index
from tollgate.projector.live.projection import EndedAs, Unread
from tollgate.projector.live.rollup import CHUNK_SEQUENCES
from tollgate.projector.live.store import CONFIGURATION, Checkpoint, encoded_rows, prepare, write_checkpoint
from tollgate.projector.rebuild.arrow_table import ArrowTable, Column, integers, lists, texts, texts_of
from tollgate.projector.rebuild.bulk_projection import Rows
from tollgate.runtime.errors import FatalError
from tollgate.runtime.id_filter import IdFilter

_SQL = resources.files("tollgate.projector").joinpath("sql")
_ROLL_UP = _SQL.joinpath("roll_up.sql").read_text()
_ROW_NUMBERS = "SELECT coalesce(min(rowid), 0), coalesce(max(rowid) + 1, 0) FROM settled"
COMMITTED_AT_ONCE = 65_536
"""Rows in a transaction: DuckDB holds them in memory until it ends, and fewer cost more CPU (docs/decisions/0009)."""
ROLLED_UP_AT_ONCE = 1_000_000
"""Rows whose sums are sorted by one query: payments of years have as many seconds, which do not fit into DuckDB's
memory, although it spills."""
_COLUMNS: dict[str, Sequence[Callable[[Any], Column]]] = {
    "settled": (texts, texts, integers, integers, integers, integers, integers, lists),
    "rejected": (texts, integers, texts, lists),
}


@dataclass(frozen=True, slots=True)
class ColumnsOfRows:
    """`Rows` as columns of each table that has any."""

    tables: Mapping[str, Sequence[Column]]
    purged_at: int | None

    def __len__(self) -> int:
        return sum(columns[0].length for columns in self.tables.values())


def columns_of(rows: Rows) -> ColumnsOfRows:
    """The rows as columns. Raises FatalError when a number is too large for any column."""
    columns: dict[str, Sequence[Column]] = {}
    try:
        for table, some in (("settled", rows.settled), ("rejected", rows.rejected)):
            if some:
                kinds = zip(_COLUMNS[table], zip(*some, strict=True), strict=True)
                columns[table] = [column(values) for column, values in kinds]
    except OverflowError as error:
        raise _unwritable(error) from error
    return ColumnsOfRows(columns, rows.purged_at)


class BulkStore:
    """A new file for the log with this identity. Every method raises FatalError when the file cannot be written.

    With `filter_bytes`, a filter of that size with the ids of all rows is written beside it, too.
    """

    def __init__(self, path: Path, log_identity: str, *, filter_bytes: int = 0) -> None:
        self._path, self._log_identity = path, log_identity
        self._ids = IdFilter(filter_bytes) if filter_bytes else None
        try:
            self._connection = duckdb.connect(str(path), config=CONFIGURATION)
            prepare(self._connection, log_identity)
        except duckdb.Error as error:
            raise _unwritable(error) from error
        self._using = Lock()
        """Held while the connection is in use: `write` is called by another thread than `ended_as`."""
        self._uncommitted = 0

    def write(self, rows: Rows) -> None:
        """Appends the rows; when a purge was among the events, earlier rows are deleted first."""
        self.write_columns(columns_of(rows))

    def write_columns(self, rows: ColumnsOfRows) -> None:
        """The same for rows as columns."""
        try:
            with self._using:
                if self._uncommitted == 0:
                    self._connection.begin()
                self._uncommitted += 1 + len(rows)
                if rows.purged_at is not None:
                    self._clear(rows.purged_at)
                for table, columns in rows.tables.items():
                    self._insert(table, columns)
                if self._uncommitted >= COMMITTED_AT_ONCE:
                    self._commit()
        except duckdb.Error as error:
            raise _unwritable(error) from error
        if self._ids is not None:
            for columns in rows.tables.values():
                for one in texts_of(columns[0]):
                    self._ids.add(one)

    def finish(self, checkpoint: Checkpoint, unread: Sequence[Unread] = ()) -> None:
        """Adds the rollup, the unread stretches and the checkpoint durably, and closes the file.

        Beside it the index of ids is written, and the filter of ids.
        """
        try:
            # First: before, the rows have no numbers by which the rollup could be split.
            self._commit()
            self._connection.begin()
            self._roll_up()
            write_checkpoint(self._connection, checkpoint)
            for stretch in unread:
                self._connection.execute("INSERT INTO unread VALUES (?, ?)", list(astuple(stretch)))
            self._connection.commit()
            self._connection.execute("CHECKPOINT")
            rows = encoded_rows(self._connection, 0)
            write_index(index_of(self._path), self._log_identity, checkpoint.position, rows)
            if self._ids is not None:
                bits = self._ids.part(0, self._ids.size_bytes)
                known_filter.save(filter_of(self._path), self._log_identity, checkpoint.position, bits)
        except (duckdb.Error, apsw.Error) as error:
            raise _unwritable(error) from error
        self.close()

    def _commit(self) -> None:
        if self._uncommitted:
            self._connection.commit()
            self._uncommitted = 0

    def _roll_up(self) -> None:
        """A second at the bound of two queries has two partial sums, which is as good as one."""
        ((begin, end),) = self._connection.execute(_ROW_NUMBERS).fetchall()
        for first in range(begin, end, ROLLED_UP_AT_ONCE):
            rows = {"first": first, "end": min(first + ROLLED_UP_AT_ONCE, end)}
            self._connection.execute(_ROLL_UP, {"chunk_sequences": CHUNK_SEQUENCES, **rows})

    def close(self) -> None:
        self._connection.close()

    def ended_as(self, correlation_id: str) -> EndedAs | None:
        """How a payment ended whose row was written; None when it has no row."""
        kinds: tuple[EndedAs, ...] = ("settled", "rejected")
        for kind in kinds:
            query = f"SELECT 1 FROM {kind} WHERE correlation_id = ? LIMIT 1"  # noqa: S608
            with self._using:
                if self._connection.execute(query, [UUID(correlation_id)]).fetchall():
                    return kind
        return None

    def _clear(self, purged_at: int) -> None:
        for table in ("settled", "rejected", "purged"):
            self._connection.execute(f"TRUNCATE {table}")
        self._connection.execute("INSERT INTO purged VALUES (?)", [purged_at])
        if self._ids is not None:
            self._ids.clear()

    def _insert(self, table: str, columns: Sequence[Column]) -> None:
        added = ArrowTable({f"c{number}": column for number, column in enumerate(columns)})
        self._connection.register("added", added)
        try:
            self._connection.execute(f"INSERT INTO {table} SELECT * FROM added")  # noqa: S608
        finally:
            self._connection.unregister("added")


def _unwritable(error: duckdb.Error | apsw.Error | OverflowError) -> FatalError:
    return FatalError(f"the new read model cannot be written: {str(error).splitlines()[0]}")
