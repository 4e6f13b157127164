"""Writes the index of ids of a read model while that is filled: at the end only the last rows are to be added.

Each addition is sorted by id and goes to nearly all pages of the index. So it holds many rows, and the more the larger
the index is: all of them together cost about one and a half times what a single one at the end would.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tollgate.projector.live.id_index import NewIndex, RowsAfter

ROWS_AT_ONCE = 65_536
"""Fewer rows are added only at the end."""
ROWS_SHARE = 8
"""Nor fewer than this part of the rows in the index."""


class IndexBuilder:
    """`rows_after` is called by a thread of its own. Every method raises apsw.Error, and what `rows_after` raises."""

    def __init__(self, path: Path, log_identity: str, rows_after: RowsAfter) -> None:
        self._index = NewIndex(path, log_identity)
        self._rows_after = rows_after
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="id-index")
        self._adding: Future[None] | None = None
        self._position = 0
        """The rows up to here are in the index, or are being added."""
        self._added = self._waiting = 0
        """How many rows those are, and how many are not among them."""

    def note_committed(self, rows: int, position: int) -> None:
        """So many further rows are committed, and now all up to the position. Adds them if there are enough."""
        self._waiting += rows
        is_idle = self._adding is None or self._adding.done()
        if is_idle and self._waiting >= max(ROWS_AT_ONCE, self._added // ROWS_SHARE):
            self._add(position)

    def clear(self) -> None:
        """Drops everything, because of a purge."""
        self._wait()
        self._index.clear()
        self._position = self._added = self._waiting = 0

    def finish(self, position: int) -> None:
        """Adds what is missing up to the position, and puts the file in place."""
        self._add(position)
        self._wait()
        self._index.finish()

    def close(self) -> None:
        self._thread.shutdown()
        self._index.close()

    def _add(self, position: int) -> None:
        self._wait()
        self._adding = self._thread.submit(self._write, self._position, position)
        self._position = position
        self._added, self._waiting = self._added + self._waiting, 0

    def _write(self, after: int, position: int) -> None:
        # Rows behind the position may be among them: they are added once more the next time, which changes nothing.
        self._index.add(self._rows_after(after), position)

    def _wait(self) -> None:
        adding, self._adding = self._adding, None
        if adding is not None:
            adding.result()
