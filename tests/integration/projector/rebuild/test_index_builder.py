"""The index of ids that is written while a read model is filled is that of the whole file."""

from contextlib import closing
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from tollgate.projector.live.files import index_of
from tollgate.projector.live.id_index import connect
from tollgate.projector.live.store import Checkpoint, encoded_rows
from tollgate.projector.rebuild import bulk_store, index_builder
from tollgate.projector.rebuild.bulk_projection import Row, Rows
from tollgate.projector.rebuild.bulk_store import BulkStore
from tollgate.projector.rebuild.index_builder import IndexBuilder

PAYMENTS = 300


def settled(number: int) -> Row:
    """The ids are not in the order of the log."""
    payment = str(UUID(int=number * 7919 % 1_000 << 96))
    return payment, "default", 5, 1, 2, 1, 10 * number, [10 * number - 1, 10 * number]


@pytest.mark.parametrize("purged_after", [None, 150])
def test_what_is_added_meanwhile_and_at_the_end_is_each_row_once(
    purged_after: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_store, "COMMITTED_AT_ONCE", 20)
    monkeypatch.setattr(index_builder, "ROWS_AT_ONCE", 40)
    positions: list[int] = []
    add = IndexBuilder._add

    def noted(builder: IndexBuilder, position: int) -> None:
        positions.append(position)
        add(builder, position)

    monkeypatch.setattr(IndexBuilder, "_add", noted)
    path = tmp_path / "model.duckdb"
    store = BulkStore(path, "log")
    for first in range(1, PAYMENTS, 10):
        rows = Rows([settled(number) for number in range(first, first + 10)])
        # The rejection is behind the last charge, and the payment of the next one was rejected before.
        rows.rejected = [(settled(first + 10)[0], 5, "refused", [10 * first + 95])]
        if purged_after is not None and first > purged_after:
            rows.purged_at, purged_after = 10 * first - 5, None
        store.write(rows)
    store.finish(Checkpoint(10 * PAYMENTS, 10 * PAYMENTS + 1))
    assert len(positions) >= 2, "rows were added before the end"
    with duckdb.connect(str(path)) as rebuilt, closing(connect(index_of(path))) as index:
        ends = dict(one for some in encoded_rows(rebuilt, 0) for one in reversed(some) if one[1][0] == "r")
        ends |= dict(one for some in encoded_rows(rebuilt, 0) for one in some if one[1][0] != "r")
        assert dict(index.execute("SELECT id, value FROM ids").fetchall()) == ends
        assert index.execute("SELECT position FROM meta").fetchall() == [(10 * PAYMENTS,)]
