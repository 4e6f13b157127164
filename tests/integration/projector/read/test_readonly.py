"""`projector status`, `query` and `export` beside a running projector and without one."""

import asyncio
import csv
import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import duckdb
import orjson
import pytest
import pytest_asyncio

from tests.support import forked
from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.projector_environment import ProjectorEnvironment, projector_environment
from tollgate.contract.events import PaymentInDoubt, PaymentRejected, PaymentRequested, PaymentRouted
from tollgate.contract.timestamps import format_us, now_us
from tollgate.messaging.operator_command import CommandError
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.projector.live.snapshots import SNAPSHOT_SECONDS_MAX, SNAPSHOTS_MAX
from tollgate.projector.read.export import export
from tollgate.projector.read.query import Rows, locked_connection, run_query
from tollgate.projector.read.readonly import model_file

pytestmark = pytest.mark.asyncio(loop_scope="module")
STAMP_US = 1_763_720_000_123_456


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProjectorEnvironment]:
    """With three settled payments of 0.01, 19.90 and 1,000,000,000.00, a rejected and an open one."""
    async with projector_environment(tmp_path_factory.mktemp("projector")) as made:
        for number, cents in enumerate((1, 1_990, 100_000_000_000)):
            await made.record(str(uuid4()), "fallback" if number == 1 else "default", cents, STAMP_US + number)
        rejected, doubtful = str(uuid4()), str(uuid4())
        await made.append(
            PaymentRequested(rejected, 5, now_us()),
            PaymentRejected(rejected, 5, "no such 'account', it says"),
            PaymentRequested(doubtful, 7, now_us()),
            PaymentRouted(doubtful, 7, 1, "default", STAMP_US, "test"),
            PaymentInDoubt(doubtful, 1, "default", "test"),
        )
        yield made


def run(shared: ProjectorEnvironment, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return forked.run([str(BIN / "projector"), *arguments], env={**os.environ, **shared.variables, **environment})


def left_in(shared: ProjectorEnvironment) -> list[Path]:
    return list(shared.settings.snapshots_path.glob("*"))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


async def query(shared: ProjectorEnvironment, sql: str, *, rows_max: int = 100, seconds_max: float = 10) -> Rows:
    async with model_file(shared.settings) as model:
        return run_query(model.path, sql, rows_max=rows_max, seconds_max=seconds_max)


async def test_status_reports_rows_open_payments_and_lag(shared: ProjectorEnvironment) -> None:
    async def has_applied_everything() -> bool:
        return (await ReadModel(shared.operator).status(timeout_seconds=5)).position == 14

    await eventually(has_applied_everything, what="the projector has applied the log")
    answer = await asyncio.to_thread(run, shared, "status", "--json")
    assert answer.returncode == 0, answer.stderr
    status = orjson.loads(answer.stdout)
    assert (status["settled"], status["rejected"], status["pending"], status["routed"], status["in_doubt"]) == (
        *(3, 1, 0, 0, 1),
    )
    assert (status["position"], status["log_end"], status["lag_messages"], status["healthy"]) == (14, 14, 0, True)
    assert status["oldest_open"]["age_seconds"] >= 0


async def test_status_names_a_projector_that_is_behind_and_one_that_is_away(shared: ProjectorEnvironment) -> None:
    shared.projector.pause()
    try:
        silent = await asyncio.to_thread(run, shared, "status")
    finally:
        shared.projector.resume()
    assert (silent.returncode, silent.stdout) == (1, "")
    assert silent.stderr.startswith("the projector did not answer in time; a projector has the read model in")
    shared.projector.stop()
    try:
        away = await asyncio.to_thread(run, shared, "status")
    finally:
        shared.projector.start()
        await shared.answering()
    assert (away.returncode, away.stderr.count("\n")) == (1, 1)
    assert away.stderr.startswith(
        "the projector is away; the file on disk holds 3 settled and 1 rejected payments as of"
    )


async def test_a_query_sees_everything_that_the_log_held_when_it_was_asked(shared: ProjectorEnvironment) -> None:
    before = (await query(shared, "SELECT count(*) FROM settled_payments WHERE processor = 'default'")).values[0][0]
    for number in range(1, 11):
        await shared.record(str(uuid4()), "default", 3, shared.stamp())
        rows = await query(shared, "SELECT count(*) FROM settled_payments WHERE processor = 'default'")
        assert rows.values == [(before + number,)]
    assert left_in(shared) == []


async def test_a_query_gives_exact_amounts_and_times_in_utc(shared: ProjectorEnvironment) -> None:
    sql = (
        f"FROM settled_payments SELECT amount, requested_at WHERE epoch_us(requested_at) < {STAMP_US + 9} ORDER BY ALL"
    )
    rows = await query(shared, sql)
    assert [row[0] for row in rows.values] == [Decimal("0.01"), Decimal("19.90"), Decimal("1000000000.00")]
    assert format_us(STAMP_US).startswith(rows.values[0][1].isoformat())
    answer = await asyncio.to_thread(run, shared, "query", sql, "--format", "json", TZ="America/Sao_Paulo")
    assert answer.stdout.splitlines()[0] == f'{{"amount":0.01,"requested_at":"{format_us(STAMP_US)}"}}'


async def test_what_is_too_much_or_takes_too_long_is_cut_off_and_said(shared: ProjectorEnvironment) -> None:
    answer = await asyncio.to_thread(run, shared, "query", "FROM range(9)", "--rows-max", "2", "--format", "csv")
    assert (answer.returncode, answer.stdout, answer.stderr) == (
        *(0, "range\n0\n1\n", "cut after 2 rows; --rows-max shows more\n"),
    )
    began = time.monotonic()
    with pytest.raises(CommandError, match=r"longer than 0\.2 s"):
        await query(shared, "SELECT sum(a.range % 7) FROM range(100000000) a, range(1000) b", seconds_max=0.2)
    assert time.monotonic() - began < 5
    assert left_in(shared) == []


BEYOND_THE_MODEL = [
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM glob('{folder}/*')",
    # A variable of the program that runs it.
    "SELECT * FROM settings",
    "EXPLAIN ANALYZE COPY settled TO '{folder}/stolen.csv'",
    "COPY settled TO '{folder}/stolen.csv'",
    "EXPORT DATABASE '{folder}/stolen'",
    "ATTACH '{folder}/other.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "PRAGMA enable_profiling",
    "DELETE FROM settled",
    "CREATE TABLE mine AS SELECT 1",
]


@pytest.mark.parametrize("sql", BEYOND_THE_MODEL)
async def test_a_query_reaches_nothing_but_the_read_model(
    shared: ProjectorEnvironment, tmp_path: Path, sql: str
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nsesame\n")
    sql = sql.format(secret=secret, folder=tmp_path)
    async with model_file(shared.settings) as model:
        before = model.path.read_bytes()
        with pytest.raises(CommandError):
            run_query(model.path, sql, rows_max=9, seconds_max=5)
        # The connection refuses, too, not only the look at the statement.
        with closing(locked_connection(model.path)) as connection, pytest.raises(duckdb.Error):
            connection.execute(sql)
        assert model.path.read_bytes() == before
    assert files_in(tmp_path) == ["secret.csv"]


@pytest.mark.parametrize("sql", ["", "SELECT 1; SELECT 2", "CREATE TEMP TABLE mine AS SELECT 1"])
async def test_a_query_is_one_statement_that_reads(shared: ProjectorEnvironment, sql: str) -> None:
    with pytest.raises(CommandError, match="only one read-only statement"):
        await query(shared, sql)


@pytest.mark.parametrize("is_running", [True, False])
async def test_an_export_holds_each_payment_with_its_exact_amount_and_moment(
    shared: ProjectorEnvironment, tmp_path: Path, *, is_running: bool
) -> None:
    if not is_running:
        shared.projector.stop()
    try:
        chosen = {"from_us": STAMP_US, "to_us": STAMP_US + 2, "force": False}
        for form in ("csv", "parquet"):
            out = tmp_path / f"it's {form}"
            assert await export(shared.settings, "settled", out, form=form, **chosen) == 0  # type: ignore[arg-type]
        everything = {"from_us": None, "to_us": None, "force": False}
        out = tmp_path / "rejected"
        assert await export(shared.settings, "rejected", out, form="csv", **everything) == 0  # type: ignore[arg-type]
    finally:
        if not is_running:
            shared.projector.start()
            await shared.answering()
    with (tmp_path / "it's csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["amount"] for row in rows] == ["0.01", "19.90", "1000000000.00"]
    assert [row["requested_at"] for row in rows] == [format_us(STAMP_US + number) for number in range(3)]
    parquet = duckdb.read_parquet(str(tmp_path / "it's parquet"))
    kinds = dict(zip(parquet.columns, map(str, parquet.types), strict=True))
    assert (kinds["amount"], kinds["requested_at"]) == ("DECIMAL(18,2)", "TIMESTAMP WITH TIME ZONE")
    moments = parquet.project("amount, epoch_us(requested_at)").fetchall()
    assert moments == [(Decimal(row["amount"]), STAMP_US + number) for number, row in enumerate(rows)]
    with (tmp_path / "rejected").open(newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == ["no such 'account', it says"]
    assert files_in(tmp_path) == ["it's csv", "it's parquet", "rejected"]


async def test_an_export_overwrites_a_file_only_with_force(shared: ProjectorEnvironment, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("precious")
    choice = {"form": "csv", "from_us": None, "to_us": None}
    with pytest.raises(CommandError, match="exists"):
        await export(shared.settings, "settled", out, force=False, **choice)  # type: ignore[arg-type]
    assert out.read_text() == "precious"
    await export(shared.settings, "settled", out, force=True, **choice)  # type: ignore[arg-type]
    assert out.read_text().startswith("correlation_id,")
    with pytest.raises(CommandError, match="no folder"):
        await export(shared.settings, "settled", tmp_path / "no" / "out", force=False, **choice)  # type: ignore[arg-type]


async def test_copies_are_bounded_and_those_of_the_dead_are_removed(shared: ProjectorEnvironment) -> None:
    model = ReadModel(shared.operator)
    copies = [await model.snapshot(timeout_seconds=10) for _ in range(SNAPSHOTS_MAX)]
    with pytest.raises(ReadModelUnavailableError, match="copies of the read model are in use"):
        await model.snapshot(timeout_seconds=10)
    oldest = shared.settings.snapshots_path / copies[0].name
    long_ago = datetime.now(UTC).timestamp() - SNAPSHOT_SECONDS_MAX - 1
    os.utime(oldest, (long_ago, long_ago))
    await model.snapshot(timeout_seconds=10)
    assert not oldest.exists()
    shared.projector.kill()
    shared.projector.start()
    await shared.answering()
    assert left_in(shared) == []
