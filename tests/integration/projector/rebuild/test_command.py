"""`projector rebuild` on a real log, with the projector running and without, and broken off at any moment."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import duckdb
import orjson
import psutil
import pytest

from qa.bench.history import histories, write
from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.nats_server import GuardedNatsServer, NatsServer
from tests.support.old_events import as_version_0
from tests.support.programs import Program
from tests.support.services import Projector
from tollgate.contract.codec import ATTEMPT_MAX, NUMBER_MAX, encode
from tollgate.contract.events import Event, LedgerPurged, PaymentProcessed, PaymentRejected
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.subjects import subject_of
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.projector.live.files import ModelFiles, filter_of, locked
from tollgate.projector.live.known_filter import KnownFilter
from tollgate.runtime.id_filter import BYTES_IN_MB, IdFilter
from tollgate.runtime.tasks import end

EVERYTHING = SummaryQuestion()
PAYMENTS = 1_500


class Rebuild(Program):
    """`projector rebuild` as an operator calls it."""

    def __init__(self, nats_url: str, folder: Path, *options: str, name: str = "rebuild") -> None:
        super().__init__(
            [str(BIN / "projector"), "rebuild", *options],
            log=folder / f"{name}.log",
            env={"NATS_URL": nats_url, "DATA_DIR": str(folder)},
        )

    async def status(self) -> int:
        return await asyncio.to_thread(self.wait, 60)


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return ModelFiles(tmp_path / "projector")


@pytest.fixture
async def filled(broker: Broker, log: Log) -> Broker:
    """A log with payments of every kind, of which some have not ended, and the first are of an older version."""
    for event in (one for payment in histories(3, seed=2) for one in payment):
        await broker.ask(subject_of(event), orjson.dumps(as_version_0(event)), timeout_seconds=5)
    await write(broker.client, histories(PAYMENTS))
    return broker


@pytest.fixture
async def projector(nats_server: NatsServer, tmp_path: Path, filled: Broker) -> AsyncIterator[Projector]:
    with Projector(nats_server.url, tmp_path, SUMMARY_SETTLE_SECONDS="0") as running:
        yield running


async def answering(broker: Broker) -> int:
    """Waits for the projector; the payments that it counts."""
    counted = 0

    async def answers() -> bool:
        nonlocal counted
        try:
            summary = await ReadModel(broker).summary(EVERYTHING, timeout_seconds=5)
        except ReadModelUnavailableError:
            return False
        counted = sum(total.count for total in summary.totals.values())
        return True

    await eventually(answers, what="the projector answers")
    return counted


def rows_of(path: Path) -> list[list[tuple[object, ...]]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return [
            connection.execute(query).fetchall()
            for query in (
                "SELECT * FROM settled",
                "SELECT * FROM rejected",
                "SELECT * FROM purged",
                "SELECT processor, second, sum(payments), sum(amount_cents) FROM"
                " (FROM rollup UNION ALL FROM rollup_recent) GROUP BY ALL ORDER BY ALL",
            )
        ]


async def test_a_rebuilt_read_model_equals_the_live_one_row_for_row(
    nats_server: NatsServer, tmp_path: Path, projector: Projector, filled: Broker, files: ModelFiles
) -> None:
    counted = await answering(filled)
    assert counted > PAYMENTS * 0.9
    projector.stop()
    live = files.current
    before = rows_of(live)
    assert live.name == "model.duckdb"
    with Rebuild(nats_server.url, tmp_path) as rebuild:
        assert await rebuild.status() == 0, rebuild.output()
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in live.parent.iterdir() if path.is_file()}
    assert set(modes.values()) == {"0o600"}, modes
    assert re.search(rf"{counted:,} settled and \d+ rejected, 0 differences", rebuild.output())
    for said in (rebuild.output(), projector.output()):
        assert "leaked" not in said, "DuckDB's binding has the last word"
    assert files.current.name == "model-1.duckdb"
    assert rows_of(files.current) == before
    assert not live.exists()
    projector.start()
    assert await answering(filled) == counted


async def test_a_running_projector_goes_on_answering_and_takes_the_new_file_over(
    nats_server: NatsServer, tmp_path: Path, projector: Projector, filled: Broker, files: ModelFiles
) -> None:
    counted = await answering(filled)
    model = ReadModel(filled)
    answers: list[int] = []
    written = 0

    async def pay() -> None:
        nonlocal written
        while True:
            written += (await write(filled.client, histories(5, seed=100 + written))).charged

    async def ask() -> None:
        while True:
            at_least = counted + written
            summary = await model.summary(EVERYTHING, timeout_seconds=5)
            answers.append(sum(total.count for total in summary.totals.values()))
            assert answers[-1] >= at_least

    background = [asyncio.create_task(pay()), asyncio.create_task(ask())]
    pid = projector.pid
    for number in (1, 2):
        with Rebuild(nats_server.url, tmp_path) as rebuild:
            assert await rebuild.status() == 0, rebuild.output()
        assert "0 differences" in rebuild.output()
        assert files.current.name == f"model-{number}.duckdb"
    asked = len(answers)
    await eventually(lambda: _is(len(answers) > asked + 2), what="it answers after the change")
    assert not any(task.done() for task in background), [task.exception() for task in background if task.done()]
    for task in background:
        await end(task)
    assert answers == sorted(answers)
    assert (projector.pid, projector.is_running) == (pid, True)
    counted = await answering(filled)
    projector.stop()
    assert [path.name for path in files.folder.glob("model*.duckdb")] == ["model-2.duckdb"]
    with duckdb.connect(str(files.current), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM settled").fetchall() == [(counted,)]


async def _is(value: bool) -> bool:
    return value


@pytest.mark.parametrize("is_running", [True, False])
async def test_what_differs_is_named_and_left_in_place_unless_that_is_accepted(
    nats_server: NatsServer, projector: Projector, filled: Broker, files: ModelFiles, is_running: bool
) -> None:
    folder = files.folder.parent
    await answering(filled)
    projector.stop()
    with duckdb.connect(str(files.current)) as connection:
        connection.execute("UPDATE settled SET amount_cents = amount_cents + 1 WHERE rowid = 700")
        connection.execute("DELETE FROM settled WHERE rowid = 800")
    if is_running:
        projector.start()
        await answering(filled)
    with Rebuild(nats_server.url, folder) as rebuild:
        assert await rebuild.status() == 1
    assert "2 differences" in rebuild.output()
    assert "rebuilt none" not in rebuild.output()
    assert "live none" in rebuild.output()
    assert files.current.name == "model.duckdb"
    with Rebuild(nats_server.url, folder, "--accept-differences") as rebuild:
        assert await rebuild.status() == 0, rebuild.output()
    assert files.current.name == "model-1.duckdb"


async def test_a_rebuild_sets_aside_what_the_projector_does(
    nats_server: NatsServer, tmp_path: Path, projector: Projector, filled: Broker, files: ModelFiles
) -> None:
    counted = await answering(filled)
    sequence = (await filled.log_state(timeout_seconds=5)).last_sequence + 1
    await filled.ask("payments.rejected", b"{}", timeout_seconds=5)
    forged = encode(PaymentProcessed(str(uuid4()), 5, 1, "default", 1, 2))
    await filled.ask("payments.requested", forged, timeout_seconds=5)
    await filled.ask("payments.rejected", encode(LedgerPurged("nobody", 1)), timeout_seconds=5)
    too_large: list[Event] = [
        PaymentRejected(str(uuid4()), NUMBER_MAX + 1, "forged"),
        PaymentProcessed(str(uuid4()), 5, ATTEMPT_MAX + 1, "default", 1, 2),
    ]
    for event in too_large:
        await filled.ask(subject_of(event), encode(event), timeout_seconds=5)
    # A question waits until the projector has read them; otherwise the rebuilt model may replace its own before.
    assert await answering(filled) == counted
    with Rebuild(nats_server.url, tmp_path) as rebuild:
        assert await rebuild.status() == 0, rebuild.output()
    # Of lines of one kind the first is written at once, and the newest when the program ends.
    for one in (sequence, sequence + 4):
        assert f"message {one} of the log is not valid" in rebuild.output()
    assert f"message {sequence} of the log is not valid" in projector.output()
    assert "set aside: 5 messages" in rebuild.output()
    assert "0 differences" in rebuild.output()
    assert files.current.name != "model.duckdb"
    assert await answering(filled) == counted


async def test_a_killed_rebuild_changes_nothing_and_the_next_one_starts_from_the_beginning(
    nats_server: NatsServer, tmp_path: Path, projector: Projector, filled: Broker, files: ModelFiles
) -> None:
    counted = await answering(filled)
    with Rebuild(nats_server.url, tmp_path, name="killed") as rebuild:
        await eventually(lambda: _is(files.rebuild.exists()), what="it has begun")
        rebuild.kill()
    assert files.current.name == "model.duckdb"
    assert await answering(filled) == counted
    with Rebuild(nats_server.url, tmp_path) as rebuild:
        assert await rebuild.status() == 0, rebuild.output()
    assert await answering(filled) == counted


async def test_a_rebuild_whose_writing_process_is_killed_ends_with_one_line(
    nats_server: NatsServer, tmp_path: Path, log: Log, files: ModelFiles
) -> None:
    with Rebuild(nats_server.url, tmp_path) as rebuild:
        nats_server.pause()
        await eventually(lambda: _is(files.rebuild_lock.exists()), what="it has begun")
        (writing,) = psutil.Process(rebuild.pid).children()
        writing.kill()
        nats_server.resume()
        assert await rebuild.status() == 1
    assert rebuild.output().splitlines() == ["the process that writes the new read model has ended"]
    assert not files.current.exists()


async def test_an_interrupted_rebuild_reports_it(
    nats_server: NatsServer, tmp_path: Path, log: Log, files: ModelFiles
) -> None:
    with Rebuild(nats_server.url, tmp_path) as rebuild:
        nats_server.pause()
        await eventually(lambda: _is(files.rebuild_lock.exists()), what="it has begun")
        assert rebuild.stop() == 130
    nats_server.resume()
    assert "interrupted" in rebuild.output()


async def test_two_rebuilds_do_not_write_at_once(nats_server: NatsServer, tmp_path: Path, files: ModelFiles) -> None:
    with locked(files.rebuild_lock), Rebuild(nats_server.url, tmp_path) as rebuild:
        assert await rebuild.status() == 1
    assert "under way" in rebuild.output()


async def test_a_log_that_was_purged_is_rebuilt_as_it_is_live(
    nats_server: NatsServer, projector: Projector, filled: Broker, log: Log, files: ModelFiles
) -> None:
    folder = files.folder.parent
    purged = await log.append(LedgerPurged("test", now_us()), timeout_seconds=5)
    await write(filled.client, histories(50, seed=9))
    counted = await answering(filled)
    assert 40 < counted <= 50
    await log.purge_before(purged.sequence, timeout_seconds=5)
    with Rebuild(nats_server.url, folder) as rebuild:
        assert await rebuild.status() == 0, rebuild.output()
    assert f"compared row for row from {purged.sequence + 1:,} to" in rebuild.output()
    assert await answering(filled) == counted


async def test_the_projectors_user_may_rebuild_beside_the_running_projector(tmp_path: Path, files: ModelFiles) -> None:
    with GuardedNatsServer(tmp_path / "guarded") as server:
        await server.ready()
        async with Broker(server.url("operator"), name="operator") as operator:
            with Projector(server.url("projector"), tmp_path):
                assert await answering(operator) == 0
                with Rebuild(server.url("projector"), tmp_path) as rebuild:
                    assert await rebuild.status() == 0, rebuild.output()
                assert files.current.name == "model-1.duckdb"
                assert await answering(operator) == 0
    assert "violation" not in rebuild.output().lower()


async def test_a_filter_of_all_ids_is_written_beside_the_new_read_model(
    nats_server: NatsServer, tmp_path: Path, filled: Broker, files: ModelFiles
) -> None:
    with Rebuild(nats_server.url, tmp_path) as rebuild:
        assert await rebuild.status() == 0, rebuild.output()
    with duckdb.connect(str(files.current), read_only=True) as connection:
        rows = connection.execute(
            "SELECT correlation_id::VARCHAR FROM settled UNION FROM rejected SELECT correlation_id"
        )
        ids = [str(one) for (one,) in rows.fetchall()]
        ((position,),) = connection.execute("SELECT max(position) FROM checkpoint").fetchall()
    size = 4 * BYTES_IN_MB
    identity = (await filled.log_state(timeout_seconds=5)).identity
    known = KnownFilter(filter_of(files.current), identity, size, position, 0)
    # The rows after the filter's position: there are none to add.
    running = asyncio.ensure_future(known.run(lambda after: iter(() if after == position else [["never"]]), lambda: 0))
    await eventually(lambda: _is(known.is_whole), what="the saved filter is read")
    await end(running)
    found = IdFilter(size)
    found.merge(0, known.part(0, size))
    assert len(ids) > PAYMENTS * 0.9
    assert all(one in found for one in ids)
    assert "never" not in found


async def test_a_model_is_built_where_there_was_none_even_from_an_empty_log(
    nats_server: NatsServer, tmp_path: Path, log: Log, files: ModelFiles
) -> None:
    with Rebuild(nats_server.url, tmp_path) as rebuild:
        assert await rebuild.status() == 0, rebuild.output()
    assert "read 0 messages" in rebuild.output()
    assert files.current.name == "model-1.duckdb"
