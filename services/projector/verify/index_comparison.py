"""Compares the index of ids with the rows of the read model, entry by entry, for `projector verify`.

The projector may write both meanwhile. The index is begun to be read before the copy of the read model is made, and it
is written after the rows: what of the rows is missing in it has to be newer than its position then, and what it has
beyond the copy has to be newer than the copy.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw

from tollgate.projector.live.ended_payment import EndedPayment
from tollgate.projector.live.id_index import connect, what_is_wrong
from tollgate.projector.live.store import encoded_rows
from tollgate.projector.read.readonly import ModelFile, open_read_only
from tollgate.projector.verify.differences import Difference, Differences

INDEX_DAMAGED = "the index of ids is damaged"
INDEX_DIFFERS = "the index of ids differs from the read model"
READ_AT_ONCE = 8_192
"""Entries in one query: a longer one would keep the projector from shortening the index's write-ahead log."""

Entry = tuple[bytes, str]


class IndexComparison:
    """An index that is open. Differences that are found are added to the findings of `compare`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unusable: str | None = None
        self._is_checked = True
        self._is_cut = False
        self._connection: apsw.Connection | None = None
        self._position = 0
        if not path.exists():
            self._unusable = "is missing; the projector writes it anew when it starts"
            return
        self._connection = connection = connect(path)
        try:
            ((position,),) = connection.execute("SELECT position FROM meta").fetchall()
            self._position = int(str(position))
            if str(connection.pragma("checksum_verification")) != "1":
                self._unusable = "has no checksums; the projector writes it anew when it starts"
        except (apsw.Error, ValueError) as error:
            self._unusable = what_is_wrong(path, error)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def compare(self, model: ModelFile, differences: Differences) -> None:
        """Names the damaged page, and each payment of which the index has something else than the rows."""
        if self._connection is None or self._unusable is not None:
            differences.add(self._damage(str(self._unusable)))
            return
        with closing(open_read_only(model.path)) as connection:
            ((purged_at,),) = connection.execute("SELECT coalesce(max(position), 0) FROM purged").fetchall()
            if purged_at > self._position:
                return
            for name, row, entry in _merged(
                _first_ends(encoded_rows(connection, 0)), self._entries(self._connection, differences)
            ):
                if self._is_cut:
                    return
                is_newer = _end(entry) > model.position or _end(row) > self._position
                if row != entry and not is_newer:
                    detail = f"read model {_shown(row)}, index {_shown(entry)}"
                    differences.add(Difference(INDEX_DIFFERS, str(UUID(bytes=name)), None, detail))

    def _entries(self, connection: apsw.Connection, differences: Differences) -> Iterator[Entry]:
        """The entries sorted by id: from the first damaged page on without checksums, as far as that goes."""
        after = b""
        while True:
            try:
                some: list[Any] = connection.execute(_SOME, [after, READ_AT_ONCE]).fetchall()
            except apsw.Error as error:
                if self._is_checked:
                    differences.add(self._damage(what_is_wrong(self._path, error)))
                    self._is_checked = False
                    connection.pragma("checksum_verification", 0)
                    continue
                self._is_cut = True
                return
            if not some:
                return
            # Without checksums an entry may be anything.
            yield from ((name, value.decode(errors="replace")) for name, value in some if len(name) == _ID_BYTES)
            after = some[-1][0]

    def _damage(self, what: str) -> Difference:
        return Difference(INDEX_DAMAGED, None, None, f"{self._path.name} {what}")


def _first_ends(rows: Iterable[list[Entry]]) -> Iterator[Entry]:
    """The end of each payment that counts, as the index holds it: the first charge, else the first rejection."""
    for name, ends in groupby((one for some in rows for one in some), key=itemgetter(0)):
        values = [value for _, value in ends]
        yield name, next((one for one in values if EndedPayment.decode(one).how == "processed"), values[0])


def _merged(rows: Iterator[Entry], entries: Iterator[Entry]) -> Iterator[tuple[bytes, str | None, str | None]]:
    """Each id with what the rows and what the index have of it. Both are sorted by id."""
    row, entry = next(rows, None), next(entries, None)
    while row is not None or entry is not None:
        name = min(one[0] for one in (row, entry) if one is not None)
        of_row = of_entry = None
        if row is not None and row[0] == name:
            of_row, row = row[1], next(rows, None)
        if entry is not None and entry[0] <= name:
            of_entry, entry = entry[1], next(entries, None)
        yield name, of_row, of_entry


def _end(value: str | None) -> int:
    """The sequence of the payment's last event; 0 for none, and for a damaged value."""
    try:
        return 0 if value is None else EndedPayment.decode(value).sequences[-1]
    except (ValueError, KeyError):
        return 0


def _shown(value: str | None) -> str:
    return "nothing" if value is None else repr(value)


_ID_BYTES = 16
_SOME = "SELECT CAST(id AS BLOB), CAST(value AS BLOB) FROM ids WHERE id > ? ORDER BY id LIMIT ?"
