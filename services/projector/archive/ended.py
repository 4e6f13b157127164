"""What the read model holds of a stretch of the log: whether its payments have ended, and the rows that it settled."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import duckdb

from tollgate.archive.manifest import SETTLED_FILE
from tollgate.archive.parquet import connect, copy, quoted
from tollgate.contract.log_mark import LogMark
from tollgate.projector.live.store import UnusableFileError

_IDS_AT_ONCE = 50_000


class EndedPayments:
    """A read model that no process writes to."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def replay_from(self) -> int:
        """The sequence before which every payment had ended at the read model's last checkpoint."""
        ((sequence,),) = self._connection.execute(
            "SELECT replay_from FROM model.checkpoint ORDER BY position DESC, replay_from DESC LIMIT 1"
        ).fetchall() or [(1,)]
        return int(sequence)

    def mark(self) -> LogMark:
        """The mark of the log that the read model was built from."""
        ((identity,),) = self._connection.execute("SELECT log_identity FROM model.meta").fetchall()
        marks = self._connection.execute("SELECT position, stored_at_us FROM model.log_mark ORDER BY position DESC")
        sequence, stored_at_us = marks.fetchone() or (0, 0)
        return LogMark(identity, sequence, stored_at_us, end=sequence)

    def first_open(self, correlation_ids: Iterable[str]) -> str | None:
        """One of these payments that is neither settled nor rejected; None if all are."""
        rows = [(UUID(one),) for one in correlation_ids]
        for start in range(0, len(rows), _IDS_AT_ONCE):
            self._connection.execute("CREATE OR REPLACE TEMP TABLE asked (correlation_id UUID NOT NULL)")
            appender = self._connection.appender("asked")
            appender.append_rows(rows[start : start + _IDS_AT_ONCE])
            appender.flush()
            found = self._connection.execute(
                "SELECT correlation_id::VARCHAR FROM asked"
                " ANTI JOIN model.settled USING (correlation_id)"
                " ANTI JOIN model.rejected USING (correlation_id) LIMIT 1"
            ).fetchone()
            if found is not None:
                return str(found[0])
        return None

    def write_settled(self, folder: Path, first_sequence: int, last_sequence: int) -> int:
        """Writes the payments settled by messages between these sequences. Returns how many."""
        where = f"processed_sequence BETWEEN {int(first_sequence)} AND {int(last_sequence)}"
        copy(
            self._connection,
            f"SELECT * FROM model.settled WHERE {where} ORDER BY processed_sequence, correlation_id",  # noqa: S608 - numbers
            folder / SETTLED_FILE,
        )
        ((count,),) = self._connection.execute(f"SELECT count(*) FROM model.settled WHERE {where}").fetchall()  # noqa: S608
        return int(count)


@contextmanager
def ended_payments(model: Path) -> Iterator[EndedPayments]:
    """The read model in that file. Raises UnusableFileError when it cannot be opened."""
    connection = connect()
    try:
        connection.execute(f"ATTACH '{quoted(model)}' AS model (READ_ONLY)")
        yield EndedPayments(connection)
    except duckdb.Error as error:
        raise UnusableFileError(f"cannot be read: {(str(error).splitlines() or ['?'])[0]}") from None
    finally:
        connection.close()
