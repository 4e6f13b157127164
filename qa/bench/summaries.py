"""The cost of a summary with few and with many settled payments, while a writer settles more.

    python -m qa.bench.summaries --payments 10000 --payments 1000000 --payments 10000000

The real store, in this process: measured is the query on the file, without the network.
"""

import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import click

from qa.bench.report import Figures, publish, quantile
from tollgate.contract.events import PROVIDERS
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.projector.live.projection import SettledRow
from tollgate.projector.live.store import Checkpoint, Store
from tollgate.projector.rebuild.bulk_projection import Rows
from tollgate.projector.rebuild.bulk_store import BulkStore

BEGIN_US = 1_700_000_000_000_000
BLOCK_ROWS = 16_384
COMMIT_SECONDS = 0.5


@click.command()
@click.option(
    "--payments", "sizes", multiple=True, default=(10_000, 1_000_000, 10_000_000), show_default=True, type=int
)
@click.option("--questions", default=500, show_default=True, help="Windows queried at each size.")
@click.option("--rate", default=500, show_default=True, help="Payments a second that are settled meanwhile.")
@click.option("--stamps", default=500, show_default=True, help="Payments stamped in each second.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
def main(sizes: tuple[int, ...], questions: int, rate: int, stamps: int, path: Path | None) -> None:
    """Measures summaries of random windows, now and as of random earlier positions."""
    rows = [measure(size, questions, rate, stamps) for size in sorted(sizes)]
    for row in rows:
        row["p50_ratio"] = float(row["p50_ms"]) / float(rows[0]["p50_ms"])
        row["p99_ratio"] = float(row["p99_ms"]) / float(rows[0]["p99_ms"])
    publish(f"summaries beside {rate} payments a second", rows, path)


def measure(payments: int, questions: int, rate: int, stamps: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        path = Path(folder) / "model.duckdb"
        fresh = BulkStore(path, "bench")
        for rows in _blocks(payments, stamps):
            fresh.write(rows)
        fresh.finish(Checkpoint(3 * payments, 3 * payments + 1))
        with closing(Store.open(path, "bench")) as store:
            writer = _Writer(store, payments, rate, stamps)
            writer.start()
            try:
                now_ms, past_ms = _ask(store, payments, questions, stamps)
            finally:
                writer.finish()
            return {
                "payments": payments,
                "p50_ms": quantile(now_ms, 0.5),
                "p99_ms": quantile(now_ms, 0.99),
                "past_p50_ms": quantile(past_ms, 0.5),
                "past_p99_ms": quantile(past_ms, 0.99),
                "settled_meanwhile": writer.settled,
                "bytes_per_payment": path.stat().st_size / payments,
            }


def _blocks(payments: int, stamps: int) -> Iterator[Rows]:
    rng = random.Random(1)  # noqa: S311 - repeatable, and no secret
    for first in range(0, payments, BLOCK_ROWS):
        rows = [_row(number, rng, stamps) for number in range(first, min(first + BLOCK_ROWS, payments))]
        yield Rows(
            settled=[
                (
                    row.correlation_id,
                    row.provider,
                    row.amount_cents,
                    row.requested_at_us,
                    row.processed_at_us,
                    row.attempt,
                    row.sequences[-1],
                    row.sequences,
                )
                for row in rows
            ]
        )


def _row(number: int, rng: random.Random, stamps: int) -> SettledRow:
    # Up to two seconds late, like charges: the order in the log is not that of the stamps.
    stamp_us = BEGIN_US + number * MICROSECONDS // stamps + rng.randrange(2 * MICROSECONDS)
    return SettledRow(
        str(UUID(int=rng.getrandbits(128), version=4)),
        PROVIDERS[rng.random() < 0.2],
        rng.randint(1, 100_000),
        stamp_us,
        stamp_us + 900,
        1,
        [3 * number + 1, 3 * number + 2, 3 * number + 3],
    )


class _Writer(threading.Thread):
    """Settles payments at a rate, in commits like the projector's."""

    def __init__(self, store: Store, payments: int, rate: int, stamps: int) -> None:
        super().__init__()
        self._store, self._next, self._rate, self._stamps = store, payments, rate, stamps
        self._finished = threading.Event()
        self.settled = 0

    def run(self) -> None:
        rng = random.Random(2)  # noqa: S311
        count = max(int(self._rate * COMMIT_SECONDS), 1)
        while not self._finished.wait(COMMIT_SECONDS):
            rows = [_row(number, rng, self._stamps) for number in range(self._next, self._next + count)]
            self._store.commit(rows, Checkpoint(3 * (self._next + count), 1))
            self._next += count
            self.settled += count

    def finish(self) -> None:
        self._finished.set()
        self.join()


def _ask(store: Store, payments: int, questions: int, stamps: int) -> tuple[list[float], list[float]]:
    rng = random.Random(3)  # noqa: S311
    span_us = payments * MICROSECONDS // stamps
    now_ms: list[float] = []
    past_ms: list[float] = []
    for _ in range(questions):
        from_us, to_us = sorted(BEGIN_US + rng.randrange(span_us + 1) for _ in range(2))
        question = SummaryQuestion(from_us, to_us)
        began = time.perf_counter()
        store.totals(question, asked_at_us=to_us, log_end=store.checkpoint.position)
        now_ms.append(1e3 * (time.perf_counter() - began))
        began = time.perf_counter()
        store.totals_as_of(question, rng.randrange(3 * payments))
        past_ms.append(1e3 * (time.perf_counter() - began))
        time.sleep(0.005)
    return now_ms, past_ms


if __name__ == "__main__":
    main()
