"""DuckDB reads from an Arrow table what was put into it."""

import duckdb

from tollgate.projector.rebuild.arrow_table import ArrowTable, integers, lists, texts, texts_of


def test_values_of_each_kind_are_read_as_they_are() -> None:
    rows = [("a", 1, [7]), ("", -(2**63), []), ("é€", 2**63 - 1, [8, 9])] * 1_000
    names, numbers, several = zip(*rows, strict=True)
    with duckdb.connect() as connection:
        connection.register(
            "added", ArrowTable({"name": texts(names), "number": integers(numbers), "several": lists(several)})
        )
        assert connection.execute("SELECT * FROM added").fetchall() == rows
        connection.unregister("added")


def test_texts_are_read_back() -> None:
    assert list(texts_of(texts(["ab", "", "c"]))) == ["ab", "", "c"]
