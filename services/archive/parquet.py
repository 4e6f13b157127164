"""The Parquet files of a stretch, written and read by DuckDB."""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tollgate.archive.errors import ArchiveError
from tollgate.archive.manifest import MESSAGES_FILE
from tollgate.messaging.stored_message import StoredMessage

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "256MB"
"""Beyond it DuckDB spills to a temporary folder beside the files."""
BATCH_MESSAGES = 4_096
_TABLE = """
CREATE TABLE messages (
    sequence BIGINT NOT NULL, subject VARCHAR NOT NULL, stored_at_us BIGINT NOT NULL, payload BLOB NOT NULL
)
"""


class MessagesWriter:
    """Collects the messages of a stretch, and writes them to its file. It is closed by its owner."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / MESSAGES_FILE
        self._connection = connect(folder)
        self._connection.execute(_TABLE)

    def add(self, messages: Iterable[StoredMessage]) -> None:
        """Adds the next messages."""
        appender = self._connection.appender("messages")
        appender.append_rows([(one.sequence, one.subject, one.stored_at_us, one.payload) for one in messages])
        appender.flush()

    def finish(self) -> None:
        """Writes the file."""
        copy(self._connection, "SELECT * FROM messages ORDER BY sequence", self._path)

    def close(self) -> None:
        self._connection.close()


def connect(temporary: Path | None = None) -> "duckdb.DuckDBPyConnection":
    """A database in memory, that may spill to a folder in `temporary`."""
    import duckdb  # noqa: PLC0415 - `tollgate log` works where DuckDB is not installed

    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": MEMORY_LIMIT, "threads": 1}
    if temporary is not None:
        config["temp_directory"] = str(temporary / "spill")
    return duckdb.connect(config=config)


def copy(connection: "duckdb.DuckDBPyConnection", query: str, path: Path) -> None:
    """Writes the rows of the query to a new Parquet file, durably."""
    connection.execute(f"COPY ({query}) TO '{quoted(path)}' (FORMAT parquet, COMPRESSION zstd)")
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_messages(path: Path, first_sequence: int, last_sequence: int) -> Iterator[list[StoredMessage]]:
    """The messages of the file between two sequences, both included, in batches. Raises ArchiveError."""
    query = f"""
        SELECT sequence, subject, payload, stored_at_us FROM read_parquet('{quoted(path)}')
        WHERE sequence BETWEEN ? AND ?"""  # noqa: S608 - the path is quoted
    import duckdb  # noqa: PLC0415 - the same

    try:
        with closing(connect()) as connection:
            # The rows are in the order of the log: one thread keeps that of the file.
            connection.execute(query, [first_sequence, last_sequence])
            while rows := connection.fetchmany(BATCH_MESSAGES):
                yield [StoredMessage(*row) for row in rows]
    except duckdb.Error as error:
        raise ArchiveError(f"{path} cannot be read: {(str(error).splitlines() or ['?'])[0]}") from None


def first_stored_from(path: Path, moment_us: int) -> int | None:
    """The sequence of the file's first message that was stored at that time or later; None if there is none."""
    query = f"SELECT min(sequence) FROM read_parquet('{quoted(path)}') WHERE stored_at_us >= ?"  # noqa: S608 - the same
    import duckdb  # noqa: PLC0415 - the same

    try:
        with closing(connect()) as connection:
            ((sequence,),) = connection.execute(query, [moment_us]).fetchall()
    except duckdb.Error as error:
        raise ArchiveError(f"{path} cannot be read: {(str(error).splitlines() or ['?'])[0]}") from None
    return None if sequence is None else int(sequence)


def quoted(path: Path) -> str:
    """The path for a text in SQL."""
    return str(path).replace("'", "''")
