"""What grows with the number of payments ever made: files of the read model, its opening, lookups by id, the filter.

    python -m qa.bench.years --payments 1000000 --payments 10000000

The real store, in this process, with rows that DuckDB generates.
"""

import random
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import click
import duckdb

from qa.bench.report import Figures, publish, quantile
from tollgate.projector.live.files import index_of
from tollgate.projector.live.store import CONFIGURATION, Checkpoint, Store, prepare, write_checkpoint
from tollgate.runtime.id_filter import BYTES_IN_MB, IdFilter

LOOKUPS = 5_000
SCANS = 5
_ROWS = """
INSERT INTO settled
SELECT md5_number(i::VARCHAR)::UHUGEINT::UUID, CASE WHEN i % 5 = 0 THEN 'fallback' ELSE 'default' END, i % 100000 + 1,
       i * 2000, i * 2000 + 900, 1, 3 * i + 3, [3 * i + 1, 3 * i + 2, 3 * i + 3]
FROM range(?) AS rows(i)
"""

_SOME_IDS = f"SELECT correlation_id::VARCHAR FROM settled USING SAMPLE {LOOKUPS}"  # noqa: S608 - a number


@click.command()
@click.option("--payments", "sizes", multiple=True, default=(100_000, 1_000_000), show_default=True, type=int)
@click.option("--filter-mb", default=4, show_default=True, help="The size of the gateway's filter of ids.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
def main(sizes: tuple[int, ...], filter_mb: int, path: Path | None) -> None:
    """Measures the index of ids and the filter at each size."""
    publish("the index of ids", [measure(size, filter_mb) for size in sorted(sizes)], path)


def measure(payments: int, filter_mb: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        path = Path(folder) / "model.duckdb"
        known = _write(path, payments)
        index_seconds = _seconds(lambda: Store.open(path, "bench").close())
        reopen_seconds = _seconds(lambda: Store.open(path, "bench").close())
        unknown = [str(uuid.uuid4()) for _ in range(LOOKUPS)]
        with closing(Store.open(path, "bench")) as store:
            hit_us, miss_us = _lookups_us(store.ended, known), _lookups_us(store.ended, unknown)
            scan_us = _lookups_us(store.scan, unknown[:SCANS])
        ids = IdFilter(filter_mb * BYTES_IN_MB)
        for number in range(payments):
            ids.add(str(uuid.UUID(int=number)))
        return {
            "payments": payments,
            "index_s": index_seconds,
            "open_s": reopen_seconds,
            "duckdb_mb": path.stat().st_size / 1e6,
            "index_mb": index_of(path).stat().st_size / 1e6,
            "hit_p50_us": quantile(hit_us, 0.5),
            "hit_p99_us": quantile(hit_us, 0.99),
            "miss_p50_us": quantile(miss_us, 0.5),
            "miss_p99_us": quantile(miss_us, 0.99),
            "scan_p50_us": quantile(scan_us, 0.5),
            "asked_of_new_percent": 100 * sum(one in ids for one in unknown) / LOOKUPS,
        }


def _write(path: Path, payments: int) -> list[str]:
    """Fills a file; returns some of its ids."""
    with duckdb.connect(str(path), config=CONFIGURATION) as connection:
        prepare(connection, "bench")
        connection.begin()
        connection.execute(_ROWS, [payments])
        write_checkpoint(connection, Checkpoint(3 * payments + 3, 3 * payments + 4))
        connection.commit()
        rows = connection.execute(_SOME_IDS).fetchall()
    ids = [one for (one,) in rows]
    random.Random(1).shuffle(ids)  # noqa: S311 - repeatable, and no secret
    return ids


def _lookups_us(look_up: Callable[[str], object], ids: Sequence[str]) -> list[float]:
    return [1e6 * _seconds(lambda one=one: look_up(one)) for one in ids]  # type: ignore[misc]


def _seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
