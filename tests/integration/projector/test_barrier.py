"""A summary never misses a charge that the log held when it was asked, and one that calls itself settled never misses a
charge of an attempt that the log held then, however batches, commits and questions mix.

The real follower, store and question service, in this process, so that every delay can be drawn.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support.conditions import eventually
from tollgate.contract.codec import encode
from tollgate.contract.events import PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.subjects import subject_of
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel
from tollgate.projector.live import follower
from tollgate.projector.live.active_model import ActiveModel, Model
from tollgate.projector.live.files import ModelFiles
from tollgate.projector.live.snapshots import Snapshots
from tollgate.projector.live.store import Store
from tollgate.projector.metrics import ProjectorMetrics
from tollgate.projector.read.archive_watch import ArchiveWatch
from tollgate.projector.read.inspection import Inspection
from tollgate.projector.service import QuestionService
from tollgate.projector.standby.turn import Turn
from tollgate.runtime.process import run_together
from tollgate.runtime.tasks import end


@pytest.mark.parametrize("seed", range(6))
async def test_no_summary_misses_what_the_log_held_when_it_was_asked(
    broker: Broker, log: Log, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(follower, "LINGER_SECONDS", rng.choice([0.001, 0.01, 0.1]))
    monkeypatch.setattr(follower, "BATCH_MESSAGES_MAX", rng.choice([1, 3, 50]))
    monkeypatch.setattr(Store, "commit", _slow(Store.commit, rng.choice([0.0, 0.02])))
    with tempfile.TemporaryDirectory() as name:
        state = await broker.log_state(timeout_seconds=5)
        files = ModelFiles(Path(name))
        store = Store.open(files.current, state.identity)
        active_model = ActiveModel(broker, files, state.identity, Model(broker, files.current, store, state.identity))
        service = QuestionService(
            broker,
            active_model,
            Inspection(
                *(Snapshots(files.folder / "snapshots"), files, broker.clock),
                log_identity=state.identity,
                archive=ArchiveWatch(None, active_model),
            ),
            ProjectorMetrics(CollectorRegistry()),
            settle_seconds=rng.choice([0.0, 0.02]),
            turn=Turn(),
        )
        running = asyncio.ensure_future(run_together(service.run(), active_model.run()))
        try:
            model = ReadModel(broker)
            await eventually(lambda: _answers(model), what="it answers")
            await _pay_and_ask(broker, model, rng)
        finally:
            await end(running)
            active_model.model.store.close()


def _slow(commit: Callable[..., None], seconds: float) -> Callable[..., None]:
    """As on a busy disk."""

    def slow_commit(*arguments: object) -> None:
        time.sleep(seconds)
        commit(*arguments)

    return slow_commit


async def _answers(model: ReadModel) -> bool:
    try:
        await model.summary(SummaryQuestion(), timeout_seconds=2)
    except Exception:  # noqa: BLE001 - until it is there
        return False
    return True


async def _pay_and_ask(broker: Broker, model: ReadModel, rng: random.Random) -> None:
    stored: list[int] = []
    sent: list[int] = []
    routed: list[int] = []

    async def pay(number: int) -> None:
        stamp_us = rng.randint(0, 3_000_000)
        payment = f"00000000-0000-4000-8000-{number:012d}"
        for event in (
            PaymentRequested(payment, 1, now_us()),
            PaymentRouted(payment, 1, 1, "default", stamp_us, "test"),
            PaymentProcessed(payment, 1, 1, "default", stamp_us, 0),
        ):
            await asyncio.sleep(rng.random() * 0.01)
            if isinstance(event, PaymentProcessed):
                sent.append(stamp_us)
            await broker.ask(subject_of(event), encode(event), timeout_seconds=10)
            if isinstance(event, PaymentRouted):
                routed.append(stamp_us)
        stored.append(stamp_us)

    async def ask() -> None:
        for _ in range(12):
            await asyncio.sleep(rng.random() * 0.03)
            from_us, to_us = sorted((rng.randint(0, 3_000_000), rng.randint(0, 3_000_000)))
            at_least = sum(from_us <= stamp_us <= to_us for stamp_us in stored)
            attempts = sum(from_us <= stamp_us <= to_us for stamp_us in routed)
            summary = await model.summary(SummaryQuestion(from_us, to_us), timeout_seconds=10)
            at_most = sum(from_us <= stamp_us <= to_us for stamp_us in sent)
            assert at_least <= summary.totals["default"].count <= at_most
            assert not summary.settled or summary.totals["default"].count >= attempts
            past = await model.summary(
                SummaryQuestion(from_us, to_us, as_of_sequence=summary.position), timeout_seconds=10
            )
            assert at_least <= past.totals["default"].count <= summary.totals["default"].count

    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(pay(number))
        for _ in range(3):
            group.create_task(ask())
    assert (await model.summary(SummaryQuestion(), timeout_seconds=10)).totals["default"].count == 60
