"""A start from a snapshot of the open payments continues exactly as one that reads from the oldest open request."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.conditions import eventually
from tests.unit.projector.live.test_projection import ReadModel, read
from tests.unit.projector.payment_histories import Stored, logs, logs_with_repeats, stored
from tollgate.contract.events import LedgerPurged, PaymentRequested, PaymentRouted
from tollgate.contract.log_mark import LogMark
from tollgate.contract.payment_state import Open, Unrouted
from tollgate.projector.live import open_snapshot
from tollgate.projector.live.files import ModelFiles, discard, open_snapshot_of
from tollgate.projector.live.open_snapshot import OpenSnapshot, SnapshotLines, SnapshotWriter
from tollgate.projector.live.projection import OpenPayment
from tollgate.projector.live.store import Checkpoint
from tollgate.runtime.tasks import end

IDENTITY = "2026-11-27T18:00:00Z"
PAYMENT = "00000000-0000-4000-8000-000000000001"
INTENT = PaymentRouted(PAYMENT, 1990, 2, "fallback", 11, 'why "so"\nand \u00fc')
PAYMENTS = {
    PAYMENT: OpenPayment(1990, 7, 8, [3, 4, 9], Open(INTENT, 9, in_doubt=True, is_held=True), 12, "cut off"),
    PAYMENT[:-1] + "2": OpenPayment(1, 7, 8, [5, 6, 7], Unrouted(2)),
    PAYMENT[:-1] + "3": OpenPayment(2, 7, 8, [8]),
}
SNAPSHOT = OpenSnapshot(LogMark(IDENTITY, 9, 1_000, 9), PAYMENTS)


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    return tmp_path / "model.duckdb"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_start_from_a_snapshot_at_any_position_continues_as_the_live_read_model(
    model_path: Path, data: st.DataObject
) -> None:
    log: list[Stored] = data.draw(logs() | logs_with_repeats().map(lambda pair: pair[1]))
    cut = data.draw(st.integers(0, len(log)), label="the rows' position")
    snapshot_at = data.draw(st.integers(0, cut), label="the snapshot's position")
    live = read(log[:snapshot_at])
    open_snapshot.write(model_path, OpenSnapshot(LogMark(IDENTITY, snapshot_at, 1, snapshot_at), live.projection.open))
    live.read(log[snapshot_at:cut])

    snapshot = open_snapshot.read(model_path, IDENTITY, cut)
    assert snapshot is not None
    started = ReadModel(list(live.rows))
    started.projection.restore(snapshot.open)
    started.read(log[snapshot_at:cut], position=cut)

    assert (started.rows, started.memory) == (live.rows, live.memory)
    assert started.read(log[cut:]) == live.read(log[cut:])
    assert (started.rows, started.memory) == (live.rows, live.memory)


@given(st.data())
def test_a_snapshot_that_is_written_while_payments_change_has_them_as_they_were(data: st.DataObject) -> None:
    log: list[Stored] = data.draw(logs() | logs_with_repeats().map(lambda pair: pair[1]))
    at = data.draw(st.integers(0, len(log)), label="the snapshot's position")
    live = ReadModel()
    live.read(log[:at])
    snapshot = OpenSnapshot(LogMark(IDENTITY, at, 1, at), live.projection.open)
    expected = SnapshotLines(snapshot).some(len(log))

    lines, written = SnapshotLines(snapshot), b""
    live.before_change = lines.keep
    for one in log[at:]:
        if isinstance(one.event, LedgerPurged):
            break
        written += lines.some(data.draw(st.integers(0, 2), label="written before the next event"))
        live.read([one])
    while part := lines.some(1):
        written += part
    assert written == expected


def test_a_snapshot_is_read_as_it_was_written_in_its_order(model_path: Path) -> None:
    open_snapshot.write(model_path, SNAPSHOT)
    found = open_snapshot.read(model_path, IDENTITY, 9)
    assert found == SNAPSHOT
    assert found is not None
    assert list(found.open) == list(PAYMENTS)


def test_a_snapshot_with_any_changed_or_missing_byte_is_not_used(model_path: Path) -> None:
    open_snapshot.write(model_path, SNAPSHOT)
    path = open_snapshot_of(model_path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert open_snapshot.read(model_path, IDENTITY, 9) is None, place
        path.write_bytes(whole[:place])
        assert open_snapshot.read(model_path, IDENTITY, 9) is None, place


def test_a_snapshot_of_another_log_or_later_than_the_rows_is_not_used(model_path: Path) -> None:
    open_snapshot.write(model_path, SNAPSHOT)
    assert open_snapshot.read(model_path, "2026-11-27T19:00:00Z", 9) is None
    assert open_snapshot.read(model_path, IDENTITY, 8) is None
    assert open_snapshot.read(model_path, IDENTITY, 10) is not None


def test_a_snapshot_goes_with_its_read_model(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path)
    files.rebuild.touch()
    open_snapshot.write(files.rebuild, SNAPSHOT)
    taken = files.take_rebuilt()
    assert open_snapshot.read(taken, IDENTITY, 9) == SNAPSHOT
    files.make_current(taken)
    open_snapshot.write(files.folder / "model.duckdb", SNAPSHOT)
    files.sweep_models()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", taken.name, f"{taken.name}.open"]
    discard(taken)
    assert not open_snapshot_of(taken).exists()


def is_written(model_path: Path, checkpoint: Checkpoint, *, last: int = 0, count: int = 1) -> bool:
    payments = {str(number): OpenPayment(1, 1, 1, [1]) for number in range(count)}
    SnapshotWriter(model_path, IDENTITY, last, messages_min=100).write_if_due(checkpoint, payments)
    return open_snapshot_of(model_path).exists()


def test_a_snapshot_is_written_only_when_a_start_would_read_much_and_few_payments_are_open(model_path: Path) -> None:
    assert not is_written(model_path, Checkpoint(1_000, 950, 1)), "all open payments are young"
    assert not is_written(model_path, Checkpoint(1_000, 1, 1), last=950), "there is one already"
    assert not is_written(model_path, Checkpoint(1_000, 1, 1), count=1_001), "it is larger than what it saves"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_snapshot, "SNAPSHOT_PAYMENTS_MAX", 10)
        assert not is_written(model_path, Checkpoint(1_000, 1, 1), count=11), "it is too large"
    assert not is_written(model_path, Checkpoint(1_000, 1, None)), "the log's mark is not known"
    assert is_written(model_path, Checkpoint(1_000, 1, 1))


def test_a_snapshot_that_cannot_be_written_is_logged_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not is_written(tmp_path / "missing" / "model.duckdb", Checkpoint(1_000, 1, 1))
    assert "no snapshot of the open payments" in caplog.text


async def test_a_running_projector_writes_a_snapshot_in_parts(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_snapshot, "PART_PAYMENTS", 1)
    monkeypatch.setattr(open_snapshot, "SYNCED_BYTES", 1)
    live = read(stored([PaymentRequested(one, 5, 7) for one in PAYMENTS]))
    expected = copy.deepcopy(live.projection.open)
    writer = SnapshotWriter(model_path, IDENTITY, 0, messages_min=1)
    live.before_change = writer.keep
    async with running(writer):
        writer.begin_if_due(Checkpoint(3, 1, 1_000), live.projection.open)
        writer.begin_if_due(Checkpoint(3, 1, 1_000), live.projection.open)
        live.read([Stored(4, replace(INTENT, attempt=1))])
        found = await written(model_path, 3)
    assert list(found.open.items()) == list(expected.items())


async def test_a_snapshot_that_is_given_up_leaves_the_one_before(model_path: Path) -> None:
    open_snapshot.write(model_path, SNAPSHOT)
    writer = SnapshotWriter(model_path, IDENTITY, 9, messages_min=1)
    async with running(writer):
        writer.begin_if_due(Checkpoint(1_000, 1, 1), PAYMENTS)
        writer.give_up()
        # The next one is written, so the one that was given up has been left.
        writer.begin_if_due(Checkpoint(2_000, 1, 1), PAYMENTS)
        assert (await written(model_path, 2_000)).open == PAYMENTS


async def written(model_path: Path, position: int) -> OpenSnapshot:
    """The snapshot of that position, once it is there."""

    async def is_there() -> bool:
        found = open_snapshot.read(model_path, IDENTITY, position)
        return found is not None and found.mark.sequence == position

    await eventually(is_there, what=f"a snapshot of {position}")
    found = open_snapshot.read(model_path, IDENTITY, position)
    assert found is not None
    return found


@asynccontextmanager
async def running(writer: SnapshotWriter) -> AsyncIterator[None]:
    writing = asyncio.ensure_future(writer.run())
    try:
        yield
    finally:
        await end(writing)
