"""A read model file for bulk writes. Nothing reads it before it is finished; an unfinished one is discarded."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import duckdb
import orjson

from tollgate.projector.live import known_filter
from tollgate.projector.live.files import filter_of, index_of
from tollgate.projector.live.id_index import Encoded, write_index
from tollgate.projector.live.projection import EndedAs, Unread
from tollgate.projector.live.rollup import CHUNK_SEQUENCES
from tollgate.projector.live.store import CONFIGURATION, Checkpoint, encoded_rows, prepare, write_checkpoint
from tollgate.projector.rebuild.bulk_projection import Row, Rows
from tollgate.runtime.errors import FatalError
from tollgate.runtime.id_filter import IdFilter

_SQL = resources.files("tollgate.projector").joinpath("sql")
_ROLL_UP = _SQL.joinpath("roll_up.sql").read_text()
_ROW_NUMBERS = "SELECT coalesce(min(rowid), 0), coalesce(max(rowid) + 1, 0) FROM settled"
ROLLED_UP_AT_ONCE = 1_000_000
"""Rows whose sums are sorted by one query: payments of years have as many seconds, which do not fit into DuckDB's
memory, although it spills."""
_COLUMNS = {
    "settled": ("UUID", "VARCHAR", "BIGINT", "BIGINT", "BIGINT", "INTEGER", "BIGINT", ["BIGINT"]),
    "rejected": ("UUID", "BIGINT", "VARCHAR", ["BIGINT"]),
}


class BulkStore:
    """A new file for the log with this identity. Every method raises FatalError when the file cannot be written."""

    def __init__(self, path: Path, log_identity: str) -> None:
        self._path, self._log_identity = path, log_identity
        try:
            self._connection = duckdb.connect(str(path), config=CONFIGURATION)
            prepare(self._connection, log_identity)
        except duckdb.Error as error:
            raise _unwritable(error) from error
        self._reader = self._connection.cursor()
        self._inserts = {table: _insert(table, columns) for table, columns in _COLUMNS.items()}

    def write(self, rows: Rows) -> None:
        """Appends the rows in one transaction; when a purge was among the events, earlier rows are deleted first."""
        try:
            self._connection.begin()
            if rows.purged_at is not None:
                for table in ("settled", "rejected", "purged"):
                    self._connection.execute(f"TRUNCATE {table}")
                self._connection.execute("INSERT INTO purged VALUES (?)", [rows.purged_at])
            self._insert("settled", rows.settled)
            self._insert("rejected", rows.rejected)
            self._connection.commit()
        except duckdb.Error as error:
            raise _unwritable(error) from error

    def finish(self, checkpoint: Checkpoint, unread: Sequence[Unread] = (), *, filter_bytes: int = 0) -> None:
        """Adds the rollup, the unread stretches and the checkpoint durably, and closes the file.

        Beside it the index of ids is written, and the filter of ids if that is to have any bytes.
        """
        try:
            self._connection.begin()
            self._roll_up()
            write_checkpoint(self._connection, checkpoint)
            for stretch in unread:
                self._connection.execute("INSERT INTO unread VALUES (?, ?)", list(astuple(stretch)))
            self._connection.commit()
            self._connection.execute("CHECKPOINT")
            ids = IdFilter(filter_bytes) if filter_bytes else None
            rows = _noted(encoded_rows(self._connection, 0), ids)
            write_index(index_of(self._path), self._log_identity, checkpoint.position, rows)
            if ids is not None:
                bits = ids.part(0, filter_bytes)
                known_filter.save(filter_of(self._path), self._log_identity, checkpoint.position, bits)
        except (duckdb.Error, apsw.Error) as error:
            raise _unwritable(error) from error
        self.close()

    def _roll_up(self) -> None:
        """A second at the bound of two queries has two partial sums, which is as good as one."""
        ((begin, end),) = self._connection.execute(_ROW_NUMBERS).fetchall()
        for first in range(begin, end, ROLLED_UP_AT_ONCE):
            rows = {"first": first, "end": min(first + ROLLED_UP_AT_ONCE, end)}
            self._connection.execute(_ROLL_UP, {"chunk_sequences": CHUNK_SEQUENCES, **rows})

    def close(self) -> None:
        self._reader.close()
        self._connection.close()

    def ended_as(self, correlation_id: str) -> EndedAs | None:
        """How a payment ended whose row was written; None when it has no row."""
        kinds: tuple[EndedAs, ...] = ("settled", "rejected")
        for kind in kinds:
            query = f"SELECT 1 FROM {kind} WHERE correlation_id = ? LIMIT 1"  # noqa: S608
            if self._reader.execute(query, [UUID(correlation_id)]).fetchall():
                return kind
        return None

    def _insert(self, table: str, rows: list[Row]) -> None:
        if rows:
            columns = dict(zip(_names(_COLUMNS[table]), zip(*rows, strict=True), strict=True))
            self._connection.execute(self._inserts[table], [orjson.dumps(columns).decode()])


def _insert(table: str, columns: tuple[Any, ...]) -> str:
    """The statement to insert rows given as one JSON object of columns: ten times faster in DuckDB than VALUES."""
    names = _names(columns)
    structure = orjson.dumps(dict(zip(names, ([one] for one in columns), strict=True))).decode()
    values = ", ".join(f"unnest(columns.{name})" for name in names)
    return f"INSERT INTO {table} SELECT {values} FROM (SELECT from_json($1, '{structure}') AS columns)"  # noqa: S608


def _noted(rows: Iterable[list[Encoded]], ids: IdFilter | None) -> Iterator[list[Encoded]]:
    """The rows; their ids are added to the filter, if there is one."""
    for some in rows:
        if ids is not None:
            for one, _ in some:
                digits = one.hex()
                ids.add(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
        yield some


def _names(columns: tuple[Any, ...]) -> list[str]:
    return [f"c{number}" for number in range(len(columns))]


def _unwritable(error: duckdb.Error | apsw.Error) -> FatalError:
    return FatalError(f"the new read model cannot be written: {str(error).splitlines()[0]}")
