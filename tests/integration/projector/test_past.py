"""The summary as of an earlier position: the same as when the log ended there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Projector
from tollgate.contract.events import LedgerPurged, PaymentProcessed, PaymentRequested
from tollgate.contract.read_model_api import Summary, SummaryQuestion, Total
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import QuestionRefusedError, ReadModel, ReadModelUnavailableError
from tollgate.messaging.sequence_at_time import log_end_at


@pytest.fixture
async def model(nats_server: NatsServer, tmp_path: Path, log: Log, broker: Broker) -> AsyncIterator[ReadModel]:
    read_model = ReadModel(broker)

    async def answers() -> bool:
        try:
            await read_model.summary(SummaryQuestion(), timeout_seconds=2)
        except ReadModelUnavailableError:
            return False
        return True

    with Projector(nats_server.url, tmp_path, SUMMARY_SETTLE_SECONDS="0"):
        await eventually(answers, what="the projector answers")
        yield read_model


async def charge(log: Log, number: int) -> None:
    name = f"00000000-0000-4000-8000-{number:012d}"
    await log.append(PaymentRequested(name, number, now_us()), timeout_seconds=5)
    await log.append(PaymentProcessed(name, number, 1, "default", number, number), timeout_seconds=5)


async def test_each_summary_can_be_repeated_by_its_position_and_by_its_time(log: Log, model: ReadModel) -> None:
    window = {"from_us": 2, "to_us": 5}
    told: list[tuple[int, int, Summary]] = []
    for number in range(1, 8):
        await charge(log, number)
        summary = await model.summary(SummaryQuestion(**window), timeout_seconds=5)
        told.append((summary.position, now_us(), summary))
    for position, moment_us, summary in told:
        by_place = await model.summary(SummaryQuestion(**window, as_of_sequence=position), timeout_seconds=5)
        by_moment = await model.summary(SummaryQuestion(**window, as_of_us=moment_us), timeout_seconds=5)
        assert by_place.totals == by_moment.totals == summary.totals
        assert by_place.position == by_moment.position == position
    nothing = await model.summary(SummaryQuestion(as_of_sequence=0), timeout_seconds=5)
    assert nothing.totals["default"] == Total()
    assert (await model.summary(SummaryQuestion(as_of_us=0), timeout_seconds=5)).totals["default"] == Total()


async def test_a_moment_is_the_last_event_stored_at_or_before_it(log: Log, broker: Broker) -> None:
    assert await log_end_at(broker, now_us()) == 0
    await charge(log, 1)
    info = await broker.client.jetstream().get_msg("PAYMENTS", 2)
    assert info.time is not None
    stored_at_us = int(info.time.timestamp() * 1_000_000)
    assert await log_end_at(broker, stored_at_us - 10) < 2
    assert await log_end_at(broker, stored_at_us + 10) == 2


@pytest.mark.parametrize(
    ("question", "named"),
    [
        (SummaryQuestion(as_of_sequence=3), "beyond the log's end, which is 2"),
        (SummaryQuestion(as_of_us=4_000_000_000_000_000), "future"),
    ],
)
async def test_what_is_not_yet_is_refused(log: Log, model: ReadModel, question: SummaryQuestion, named: str) -> None:
    await charge(log, 1)
    with pytest.raises(QuestionRefusedError, match=named):
        await model.summary(question, timeout_seconds=5)


async def test_what_was_purged_is_refused(log: Log, model: ReadModel) -> None:
    await charge(log, 1)
    await log.append(LedgerPurged("test", now_us()), timeout_seconds=5)
    await charge(log, 2)
    with pytest.raises(QuestionRefusedError, match="before 3, where everything before was purged"):
        await model.summary(SummaryQuestion(as_of_sequence=2), timeout_seconds=5)
    now = await model.summary(SummaryQuestion(as_of_sequence=5), timeout_seconds=5)
    assert now.totals["default"] == Total(1, 2)
