"""Compares a rebuilt read model with the one it is to replace, row by row, up to the position both have reached."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import duckdb
import orjson

from tollgate.projector.live.store import FORMAT
from tollgate.runtime.errors import TollgateError

SEQUENCES_AT_ONCE = 16_384
"""Rows are compared in stretches of the log of this length, which bounds memory."""
DIFFERENCES_NAMED_MAX = 10


class NotComparableError(TollgateError):
    """The rebuilt file is missing or not of this log; the text states which."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison.

    `position` is that of the rebuilt file; `compared_from` and `compared_to` bound the part of the log that both hold.
    `totals` are the rebuilt file's: provider -> (payments, cents).
    """

    position: int
    compared_from: int
    compared_to: int
    settled: int
    rejected: int
    totals: dict[str, tuple[int, int]]
    differences: int = 0
    named: list[str] = field(default_factory=list)

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """The inverse of `encode`."""
        fields = orjson.loads(payload)
        return cls(**{**fields, "totals": {name: tuple(total) for name, total in fields["totals"].items()}})


def compare(live: duckdb.DuckDBPyConnection, path: Path, log_identity: str) -> Comparison:
    """Compares the file at `path` with the one that `live` is connected to; `live` may be written meanwhile.

    Raises NotComparableError.
    """
    if not path.exists():
        raise NotComparableError(f"{path.name} is missing")
    try:
        live.execute(f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS rebuilt (READ_ONLY)")
    except duckdb.Error as error:
        raise NotComparableError(f"{path.name} cannot be opened: {str(error).splitlines()[0]}") from error
    try:
        return _compare(live, log_identity)
    except duckdb.Error as error:
        raise NotComparableError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        live.execute("DETACH rebuilt")


def _compare(live: duckdb.DuckDBPyConnection, log_identity: str) -> Comparison:
    found = live.execute("SELECT format, log_identity FROM rebuilt.meta").fetchall()
    if found != [(FORMAT, log_identity)]:
        raise NotComparableError(f"it is of format and log {found}, not {(FORMAT, log_identity)}")
    (position,) = _one(live, "SELECT max(position) FROM rebuilt.checkpoint")
    if position is None:
        raise NotComparableError("it is unfinished")
    while True:
        voided = _purged_at(live)
        begin, end = voided + 1, min(position, _one(live, "SELECT coalesce(max(position), 0) FROM checkpoint")[0])
        differences, named = _differences(live, begin, end)
        # A purge meanwhile voids rows on one side only.
        if _purged_at(live) == voided:
            break
    (settled,) = _one(live, _SETTLED_BETWEEN, [begin, end])
    (rejected,) = _one(live, _REJECTED_BETWEEN, [begin, end])
    totals = {name: (count, int(cents)) for name, count, cents in live.execute(_TOTALS).fetchall()}
    if (rolled_up := {name: (int(n), int(cents)) for name, n, cents in live.execute(_ROLLED_UP).fetchall()}) != totals:
        differences += 1
        named.append(f"the rollup of the rebuilt file sums to {rolled_up}, its rows to {totals}")
    return Comparison(position, begin, max(end, begin - 1), settled, rejected, totals, differences, named)


def _differences(live: duckdb.DuckDBPyConnection, begin: int, end: int) -> tuple[int, list[str]]:
    found: list[tuple[Any, ...]] = []
    count = 0
    for first in range(begin, end + 1, SEQUENCES_AT_ONCE):
        last = min(end, first + SEQUENCES_AT_ONCE - 1)
        rows = live.execute(_SETTLED_DIFFERENCES, {"first": first, "last": last}).fetchall()
        found, count = (found + rows)[:DIFFERENCES_NAMED_MAX], count + len(rows)
    rows = live.execute(_REJECTED_DIFFERENCES, {"first": begin, "last": end}).fetchall()
    found, count = (found + rows)[:DIFFERENCES_NAMED_MAX], count + len(rows)
    return count, [f"at {sequence}: live {before}, rebuilt {after}" for sequence, before, after in found]


def _purged_at(live: duckdb.DuckDBPyConnection) -> int:
    (position,) = _one(
        live,
        "SELECT greatest((SELECT coalesce(max(position), 0) FROM purged),"
        " (SELECT coalesce(max(position), 0) FROM rebuilt.purged))",
    )
    return int(position)


def _one(live: duckdb.DuckDBPyConnection, query: str, parameters: list[object] | None = None) -> tuple[Any, ...]:
    row: tuple[Any, ...] = live.execute(query, parameters or []).fetchall()[0]
    return row


_SETTLED_BETWEEN = "SELECT count(*) FROM rebuilt.settled WHERE processed_sequence BETWEEN $1 AND $2"
_REJECTED_BETWEEN = "SELECT count(*) FROM rebuilt.rejected WHERE sequences[-1] BETWEEN $1 AND $2"
_TOTALS = "SELECT processor, count(*), sum(amount_cents) FROM rebuilt.settled GROUP BY processor"
_ROLLED_UP = "SELECT processor, sum(payments), sum(amount_cents) FROM rebuilt.rollup GROUP BY processor"
_SETTLED_DIFFERENCES = """
SELECT coalesce(before.processed_sequence, after.processed_sequence) AS sequence,
       CASE WHEN before.processed_sequence IS NULL THEN 'none' ELSE before::VARCHAR END,
       CASE WHEN after.processed_sequence IS NULL THEN 'none' ELSE after::VARCHAR END
FROM (SELECT * FROM settled WHERE processed_sequence BETWEEN $first AND $last) AS before
FULL JOIN (SELECT * FROM rebuilt.settled WHERE processed_sequence BETWEEN $first AND $last) AS after
    ON before.processed_sequence = after.processed_sequence AND before.correlation_id = after.correlation_id
WHERE before IS DISTINCT FROM after
ORDER BY sequence
"""
_REJECTED_DIFFERENCES = """
SELECT coalesce(before.sequences[-1], after.sequences[-1]) AS sequence,
       CASE WHEN before.sequences IS NULL THEN 'none' ELSE before::VARCHAR END,
       CASE WHEN after.sequences IS NULL THEN 'none' ELSE after::VARCHAR END
FROM (SELECT * FROM rejected WHERE sequences[-1] BETWEEN $first AND $last) AS before
FULL JOIN (SELECT * FROM rebuilt.rejected WHERE sequences[-1] BETWEEN $first AND $last) AS after
    ON before.sequences[-1] = after.sequences[-1] AND before.correlation_id = after.correlation_id
WHERE before IS DISTINCT FROM after
ORDER BY sequence
"""
