"""A real projector between a real log and a real DuckDB file."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Projector
from tollgate.contract.batch import join
from tollgate.contract.codec import encode
from tollgate.contract.events import (
    Event,
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentRequested,
    PaymentRouted,
    ProviderName,
)
from tollgate.contract.known_ids import KNOWN, Known, KnownPayment
from tollgate.contract.read_model_api import SUMMARY, Summary, SummaryQuestion, Total, decode_summary, encode_question
from tollgate.contract.subjects import subject_of
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import QuestionRefusedError, ReadModel, ReadModelUnavailableError

EVERYTHING = SummaryQuestion()


@pytest.fixture
async def projector(nats_server: NatsServer, tmp_path: Path, log: Log) -> AsyncIterator[Projector]:
    with Projector(nats_server.url, tmp_path, SUMMARY_SETTLE_SECONDS="0.05") as running:
        yield running


@pytest.fixture
async def read_model(broker: Broker, projector: Projector) -> ReadModel:
    model = ReadModel(broker)
    await answering(model)
    return model


async def answering(model: ReadModel) -> None:
    async def answers() -> bool:
        try:
            await model.summary(EVERYTHING, timeout_seconds=2)
        except ReadModelUnavailableError:
            return False
        return True

    await eventually(answers, what="the projector answers")


async def append(log: Log, *events: Event) -> None:
    for event in events:
        await log.append(event, timeout_seconds=10)


def payment(
    correlation_id: str, amount_cents: int, *, stamp_us: int = 1_000_000, provider: ProviderName = "default"
) -> tuple[Event, Event, Event]:
    return (
        PaymentRequested(correlation_id, amount_cents, now_us()),
        PaymentRouted(correlation_id, amount_cents, 1, provider, stamp_us, "test"),
        PaymentProcessed(correlation_id, amount_cents, 1, provider, stamp_us, stamp_us + 5),
    )


async def totals(model: ReadModel, from_us: int | None = None, to_us: int | None = None) -> dict[str, Total]:
    summary = await model.summary(SummaryQuestion(from_us, to_us), timeout_seconds=10)
    return {str(name): total for name, total in summary.totals.items()}


def new_id() -> str:
    return str(uuid.uuid4())


async def test_a_summary_holds_every_charge_that_was_in_the_log_when_it_was_asked(
    log: Log, read_model: ReadModel
) -> None:
    for number in range(1, 41):
        await append(log, *payment(new_id(), number))
        assert (await totals(read_model))["default"] == Total(number, number * (number + 1) // 2)


async def test_events_that_share_a_message_are_all_carried(log: Log, broker: Broker, read_model: ReadModel) -> None:
    payments = [payment(new_id(), cents) for cents in (1, 20, 300)]
    await append(log, *(requested for requested, _, _ in payments))
    routed_at = await log.append_together([routed for _, routed, _ in payments], timeout_seconds=5)
    outcomes = [encode(processed) for _, _, processed in payments]
    await broker.ask(subject_of(payments[0][2]), join(outcomes), timeout_seconds=5)
    assert (await totals(read_model))["default"] == Total(3, 321)
    for requested, _, _ in payments:
        assert isinstance(requested, PaymentRequested)
        view = await read_model.payment(requested.correlation_id, timeout_seconds=5)
        assert view is not None
        assert (view.state, list(view.sequences[1:])) == ("processed", [routed_at, routed_at + 1])


async def test_a_message_with_one_line_that_is_no_event_is_set_aside_as_a_whole(
    log: Log, broker: Broker, read_model: ReadModel
) -> None:
    payments = [payment(new_id(), cents) for cents in (1, 20)]
    await append(log, *(requested for requested, _, _ in payments))
    await log.append_together([routed for _, routed, _ in payments], timeout_seconds=5)
    outcomes = [encode(processed) for _, _, processed in payments]
    await broker.ask(subject_of(payments[0][2]), join([outcomes[0], b"no event", outcomes[1]]), timeout_seconds=5)
    assert (await totals(read_model))["default"] == Total(0, 0)
    for requested, _, _ in payments:
        assert isinstance(requested, PaymentRequested)
        view = await read_model.payment(requested.correlation_id, timeout_seconds=5)
        assert view is not None
        assert view.state == "routed"


async def test_both_bounds_of_a_window_are_inclusive(log: Log, read_model: ReadModel) -> None:
    for stamp_us in (10, 20, 30):
        await append(log, *payment(new_id(), stamp_us, stamp_us=stamp_us, provider="fallback"))
    assert (await totals(read_model, 10, 20))["fallback"] == Total(2, 30)
    assert (await totals(read_model, 11, 30))["fallback"] == Total(2, 50)
    assert (await totals(read_model, None, 9))["fallback"] == Total(0, 0)
    assert (await totals(read_model, 20))["fallback"] == Total(2, 50)


async def test_an_attempt_that_is_open_inside_the_window_is_reported(log: Log, read_model: ReadModel) -> None:
    correlation_id = new_id()
    requested, routed, processed = payment(correlation_id, 5, stamp_us=100)
    await append(log, requested, routed)

    async def ask(from_us: int, to_us: int) -> Summary:
        return await read_model.summary(SummaryQuestion(from_us, to_us), timeout_seconds=5)

    assert ((await ask(100, 100)).settled, (await ask(100, 100)).open_attempts) == (False, 1)
    assert (await ask(101, 200)).settled
    await append(log, processed)
    assert (await ask(100, 100)).settled


async def test_a_summary_waits_a_moment_for_attempts_inside_its_window(
    nats_server: NatsServer, tmp_path: Path, log: Log, broker: Broker
) -> None:
    with Projector(nats_server.url, tmp_path, SUMMARY_SETTLE_SECONDS="5"):
        model = ReadModel(broker)
        await answering(model)
        requested, routed, processed = payment(new_id(), 5)
        await append(log, requested, routed)
        asking = asyncio.create_task(model.summary(EVERYTHING, timeout_seconds=10))
        await asyncio.wait((asking,), timeout=0.3)
        assert not asking.done()
        await append(log, processed)
        summary = await asking
        assert (summary.totals["default"], summary.settled) == (Total(1, 5), True)


async def test_a_charge_made_after_the_question_does_not_count_and_keeps_the_window_open(
    nats_server: NatsServer, tmp_path: Path, log: Log, broker: Broker
) -> None:
    with Projector(nats_server.url, tmp_path, SUMMARY_SETTLE_SECONDS="5"):
        model = ReadModel(broker)
        await answering(model)
        requested, routed, _ = payment(correlation_id := new_id(), 5)
        await append(log, requested, routed)
        asking = asyncio.create_task(model.summary(EVERYTHING, timeout_seconds=10))
        await asyncio.wait((asking,), timeout=0.3)
        await append(log, PaymentProcessed(correlation_id, 5, 1, "default", 1_000_000, now_us()))
        summary = await asking
        assert (summary.totals["default"], summary.settled, summary.open_attempts) == (Total(), False, 1)
        assert (await totals(model))["default"] == Total(1, 5)


async def test_an_answer_that_arrived_before_the_question_counts_although_it_was_recorded_after_it(
    nats_server: NatsServer, tmp_path: Path, log: Log, broker: Broker
) -> None:
    with Projector(nats_server.url, tmp_path, SUMMARY_SETTLE_SECONDS="5"):
        model = ReadModel(broker)
        await answering(model)
        # A charge with the same stamp shows when the answer is due: after 2 ms.
        *begun, processed = payment(new_id(), 5)
        assert isinstance(processed, PaymentProcessed)
        await append(log, *begun, replace(processed, processed_at_us=processed.requested_at_us + 2_000))
        requested, routed, late = payment(new_id(), 70)
        assert isinstance(late, PaymentProcessed)
        await append(log, requested, routed)
        arrived_us = now_us()
        asking = asyncio.create_task(model.summary(EVERYTHING, timeout_seconds=10))
        await asyncio.wait((asking,), timeout=0.3)
        assert not asking.done()
        await append(log, replace(late, processed_at_us=arrived_us))
        summary = await asking
        assert (summary.totals["default"], summary.settled) == (Total(2, 75), True)


async def test_a_summary_does_not_wait_for_an_attempt_that_is_charged_after_the_question(
    nats_server: NatsServer, tmp_path: Path, log: Log, broker: Broker
) -> None:
    with Projector(nats_server.url, tmp_path, SUMMARY_SETTLE_SECONDS="60"):
        model = ReadModel(broker)
        await answering(model)
        stamp_us = now_us()
        *begun, processed = payment(new_id(), 5, stamp_us=stamp_us)
        assert isinstance(processed, PaymentProcessed)
        await append(log, *begun, replace(processed, processed_at_us=stamp_us + 60_000_000))
        await append(log, *payment(new_id(), 70, stamp_us=stamp_us)[:2])
        # The bound of the wait is 60 s, so that this timeout fails the test if the summary waits.
        summary = await model.summary(EVERYTHING, timeout_seconds=10)
        assert (summary.totals["default"], summary.settled, summary.open_attempts) == (Total(1, 5), False, 1)


async def test_a_question_that_is_long_on_its_way_is_answered_as_of_when_it_was_asked(
    log: Log, broker: Broker, read_model: ReadModel
) -> None:
    asked_at_us = now_us()
    by_then, since = (payment(new_id(), cents, stamp_us=100) for cents in (5, 70))
    *begun, processed = by_then
    assert isinstance(processed, PaymentProcessed)
    # In the log by then, although its processor's clock is ahead.
    await append(log, *begun, replace(processed, processed_at_us=asked_at_us + 1))
    log_end = (await broker.log_state(timeout_seconds=5)).last_sequence
    *begun, processed = since
    assert isinstance(processed, PaymentProcessed)
    await append(log, *begun, replace(processed, processed_at_us=asked_at_us + 1))
    question = encode_question(SummaryQuestion(100, 100, asked_at_us=asked_at_us, log_end=log_end))
    summary = decode_summary((await broker.ask(SUMMARY, question, timeout_seconds=5)).data)
    assert (summary.totals["default"], summary.settled, summary.open_attempts) == (Total(1, 5), False, 1)
    assert (await totals(read_model))["default"] == Total(2, 75)


async def test_repeats_of_events_change_nothing(log: Log, read_model: ReadModel, broker: Broker) -> None:
    events = payment(new_id(), 7)
    await append(log, *events)
    assert (await totals(read_model))["default"] == Total(1, 7)
    for event in (*events, *events):
        await broker.ask(subject_of(event), encode(event), timeout_seconds=5)
    assert (await totals(read_model))["default"] == Total(1, 7)


async def test_states_of_a_payment_follow_its_events(log: Log, read_model: ReadModel) -> None:
    charged, refused = new_id(), new_id()
    requested, routed, processed = payment(charged, 5)

    async def state(correlation_id: str) -> tuple[str, int] | None:
        view = await read_model.payment(correlation_id, timeout_seconds=5)
        return None if view is None else (view.state, len(view.sequences))

    assert await state(charged) is None
    await append(log, requested)
    assert await state(charged) == ("pending", 1)
    await append(log, routed)
    assert await state(charged) == ("routed", 2)
    await append(log, PaymentInDoubt(charged, 1, "default", "test"))
    assert await state(charged) == ("in_doubt", 3)
    await append(log, processed)
    assert await state(charged) == ("processed", 4)
    await append(log, PaymentRequested(refused, 5, now_us()), PaymentRejected(refused, 5, "test"))
    assert await state(refused) == ("rejected", 2)


async def test_a_purge_empties_the_read_model(log: Log, read_model: ReadModel) -> None:
    await append(log, *payment(new_id(), 7), LedgerPurged("test", now_us()))
    assert (await totals(read_model))["default"] == Total()
    await append(log, *payment(new_id(), 8))
    assert (await totals(read_model))["default"] == Total(1, 8)


async def test_killed_at_random_moments_the_read_model_equals_the_log_every_time(
    log: Log, read_model: ReadModel, projector: Projector
) -> None:
    rng = random.Random(7)
    expected = Total()
    for _ in range(12):
        writing = asyncio.create_task(_pay_many(log, 40))
        await asyncio.wait((writing,), timeout=rng.random() * 0.15)
        projector.kill()
        projector.start()
        await writing
        expected = Total(expected.count + 40, expected.amount_cents + sum(range(1, 41)))
        await answering(read_model)
        assert (await totals(read_model))["default"] == expected


async def test_a_restart_continues_with_payments_that_had_not_ended(
    log: Log, read_model: ReadModel, projector: Projector
) -> None:
    open_id = new_id()
    requested, routed, processed = payment(open_id, 3)
    await append(log, requested, routed, *payment(new_id(), 5))
    assert (await totals(read_model))["default"] == Total(1, 5)
    projector.kill()
    projector.start()
    await answering(read_model)
    assert (await read_model.summary(EVERYTHING, timeout_seconds=5)).open_attempts == 1
    await append(log, processed)
    assert (await totals(read_model))["default"] == Total(2, 8)
    view = await read_model.payment(open_id, timeout_seconds=5)
    assert view is not None
    assert len(view.sequences) == 3


@pytest.mark.parametrize("damage", ["missing", "torn", "empty"])
async def test_an_unusable_file_is_rebuilt(log: Log, read_model: ReadModel, projector: Projector, damage: str) -> None:
    await _pay_many(log, 20)
    before = await totals(read_model)
    projector.stop()
    if damage == "missing":
        projector.model_path.unlink()
    else:
        projector.model_path.write_bytes(b"" if damage == "empty" else b"\x00 torn " * 1_000)
    projector.start()
    await answering(read_model)
    assert await totals(read_model) == before


def rows_of(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        settled = connection.execute("SELECT * FROM settled ORDER BY correlation_id").fetchall()
        rejected = connection.execute("SELECT * FROM rejected ORDER BY correlation_id").fetchall()
    return [*settled, *rejected]


async def test_a_rebuilt_read_model_equals_the_one_before_row_by_row(
    log: Log, read_model: ReadModel, projector: Projector
) -> None:
    for number in range(1, 31):
        correlation_id = new_id()
        requested, routed, processed = payment(correlation_id, number, stamp_us=number)
        doubted = PaymentInDoubt(correlation_id, 1, "default", "test")
        end = PaymentRejected(correlation_id, number, "test") if number % 5 == 0 else processed
        await append(log, requested, routed, *([doubted] if number % 3 == 0 and number % 5 else []), end)
        if number % 10 == 0:
            await answering(read_model)
            projector.kill()
            projector.start()
    await answering(read_model)
    projector.stop()
    live = rows_of(projector.model_path)
    projector.model_path.unlink()
    projector.start()
    await answering(read_model)
    projector.stop()
    assert rows_of(projector.model_path) == live
    assert len(live) == 30


async def test_a_file_of_another_log_is_rebuilt(
    tmp_path: Path, log: Log, read_model: ReadModel, projector: Projector, broker: Broker
) -> None:
    await _pay_many(log, 20)
    assert (await totals(read_model))["default"].count == 20
    await broker.request("$JS.API.STREAM.DELETE.PAYMENTS", b"", timeout_seconds=5)
    await log.ensure(LogLimits())
    await _pay_many(log, 30)

    # The running projector ends by itself when it sees another log; a supervisor would start it again.
    with pytest.raises(ReadModelUnavailableError):
        await read_model.summary(EVERYTHING, timeout_seconds=5)
    assert projector.wait(10) == 1
    projector.start()
    await answering(read_model)
    assert (await totals(read_model))["default"].count == 30
    assert "rebuilding the read model" in projector.output()


async def test_a_poison_event_is_set_aside_and_named(
    log: Log, read_model: ReadModel, broker: Broker, projector: Projector
) -> None:
    await broker.ask("payments.rejected", b"{}", timeout_seconds=5)
    await append(log, *payment(new_id(), 5))
    assert (await totals(read_model))["default"] == Total(1, 5)
    assert "message 1 of the log is not valid" in projector.output()


async def test_the_read_model_goes_on_after_the_broker_was_killed(
    log: Log, read_model: ReadModel, nats_server: NatsServer
) -> None:
    await _pay_many(log, 20)
    nats_server.kill()
    nats_server.start()
    await _pay_many(log, 20)
    await answering(read_model)
    assert (await totals(read_model))["default"].count == 40


async def test_two_projectors_do_not_share_a_file(
    nats_server: NatsServer, tmp_path: Path, read_model: ReadModel, projector: Projector
) -> None:
    with Projector(nats_server.url, tmp_path) as second:
        assert second.wait(10) == 1
        assert "another projector owns" in second.output()


async def _pay_many(log: Log, count: int) -> None:
    async def pay(amount_cents: int) -> None:
        await append(log, *payment(new_id(), amount_cents))

    await asyncio.gather(*(pay(number) for number in range(1, count + 1)))


async def test_one_question_finds_what_is_known_of_many_payments(
    log: Log, broker: Broker, read_model: ReadModel
) -> None:
    processed, rejected, pending, unknown = (new_id() for _ in range(4))
    await append(log, *payment(processed, 100, provider="fallback"))
    await append(log, PaymentRequested(rejected, 200, now_us()), PaymentRejected(rejected, 200, "a test"))
    await append(log, PaymentRequested(pending, 300, now_us()))
    ids = [unknown, processed, rejected, pending]
    end = (await broker.log_state(timeout_seconds=5)).last_sequence
    known = await read_model.known(ids, timeout_seconds=5)
    assert known == Known(
        end,
        {
            processed: KnownPayment(1, 100, "processed", 3, "fallback"),
            rejected: KnownPayment(4, 200, "rejected", 5),
            pending: KnownPayment(6, 300),
        },
    )
    assert await read_model.known(ids, up_to=1, timeout_seconds=5) == known
    await append(log, LedgerPurged("a test", 1))
    assert (await read_model.known(ids, timeout_seconds=5)).payments == {}
    with pytest.raises(QuestionRefusedError, match="not a KnownQuestion"):
        await read_model._ask(KNOWN, b"{}", 5)
