"""Payments wait: both status commands name it, with the cause, and exit with 1."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import aiohttp
import orjson
import pytest

from tests.support.clocks import settable_clock
from tests.support.commands import Ended, run_command
from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Gateway, Processor, Projector, Simulator
from tollgate.contract.events import PaymentInDoubt, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_health import Bounds
from tollgate.contract.subjects import CONSUMER, STREAM
from tollgate.contract.timestamps import now_us
from tollgate.gateway import readiness as module
from tollgate.gateway.readiness import Readiness
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import ensure_consumer
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import ReadModel
from tollgate.processor.intake.queues import REQUESTS
from tollgate.processor.operations.charging_health import assess
from tollgate.processor.operations.commands import ask_status
from tollgate.processor.settings import Settings as ProcessorSettings
from tollgate.projector.read.status import show_status
from tollgate.projector.settings import Settings as ProjectorSettings
from tollgate.runtime.settings import load

Answer = TypeVar("Answer")
NOWHERE = "http://127.0.0.1:9"
"""A provider that refuses connections: it counts as down, and charges nothing."""
BOUND = ("--oldest-seconds-max", "0.5")


@dataclass(frozen=True)
class Environment:
    """A broker and a projector; each test starts its own processors."""

    url: str
    broker: Broker
    log: Log
    projector: Projector
    folder: Path

    async def request(self) -> str:
        correlation_id = str(uuid.uuid4())
        await self.log.append(PaymentRequested(correlation_id, 1990, now_us()), timeout_seconds=5)
        return correlation_id

    def processor(self, **env: str) -> Processor:
        return Processor(self.url, self.folder, default=NOWHERE, fallback=NOWHERE, **env)

    async def status(self, program: str, *options: str) -> Ended:
        return await asyncio.to_thread(run_command, program, "status", *options, NATS_URL=self.url)

    async def named(self, cause: str, program: str) -> None:
        """Waits until the command exits with 1 and names the cause, as a table and as JSON."""

        async def is_named() -> bool:
            ended = await self.status(program, *BOUND)
            return ended.status == 1 and cause in ended.output

        await eventually(is_named, what=f"`{program} status` names {cause!r}", timeout_seconds=40)
        ended = await self.status(program, "--json", *BOUND)
        status = json.loads(ended.output)
        assert (ended.status, status["healthy"]) == (1, False)
        assert any(
            trouble.startswith("payments wait, the oldest, ") and cause in trouble for trouble in status["troubles"]
        )

    async def named_by_both(self, cause: str) -> None:
        await self.named(cause, "processor")
        await self.named(cause, "projector")


@pytest.fixture
async def environment(nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path) -> AsyncIterator[Environment]:
    with Projector(nats_server.url, tmp_path) as projector:
        await eventually(lambda: answers(broker), what="the projector answers")
        yield Environment(nats_server.url, broker, log, projector, tmp_path)


async def answers(broker: Broker) -> bool:
    try:
        await ReadModel(broker).status(timeout_seconds=1)
    except Exception:  # noqa: BLE001 - whatever it is, it does not answer yet
        return False
    return True


async def test_charging_is_healthy_while_nothing_waits(environment: Environment) -> None:
    await ensure_consumer(environment.broker, REQUESTS)
    for program in ("processor", "projector"):
        ended = await environment.status(program, *BOUND)
        assert (ended.status, ended.errors) == (0, "")
        assert "fine" in ended.output.splitlines()[0]


async def test_no_processor_runs(environment: Environment) -> None:
    await environment.request()
    await environment.named_by_both("no processor answers")
    # As long as it has not waited too long, all is well.
    assert (await environment.status("projector", "--oldest-seconds-max", "600")).status == 0


async def test_a_processor_is_stuck(environment: Environment) -> None:
    with environment.processor() as processor:

        async def has_queue() -> bool:
            info = await environment.broker.request(
                f"$JS.API.CONSUMER.INFO.{STREAM}.{CONSUMER}", b"", timeout_seconds=2
            )
            return "error" not in info and info["num_waiting"] > 0

        await eventually(has_queue, what="the processor asks for requests")
        processor.pause()
        await environment.request()
        await environment.named_by_both("no processor answers")


async def test_a_processors_clock_is_off(environment: Environment) -> None:
    clock, variables = settable_clock(environment.folder / "processor.clock")
    clock.set(-2.0)
    with environment.processor(**variables):
        await environment.request()
        await environment.named_by_both("its clock is 2.00")


async def test_both_providers_are_down_and_the_program_log_has_that_too(environment: Environment) -> None:
    with environment.processor() as processor:
        for _ in range(5):
            await environment.request()
        await environment.named_by_both("default has been down for ")
        await environment.named("fallback has been down for ", "processor")

        async def is_logged() -> bool:
            return "no payment has ended since the start; 5 wait, the oldest for " in processor.output()

        await eventually(is_logged, what="the program log names it", timeout_seconds=40)
        (line,) = (line for line in processor.output().splitlines() if "no payment has ended" in line)
        assert "default has been down for " in line


async def test_an_operator_has_paused_the_queue(environment: Environment) -> None:
    await ensure_consumer(environment.broker, REQUESTS)
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    pause = f"$JS.API.CONSUMER.PAUSE.{STREAM}.{CONSUMER}"
    answer = await environment.broker.request(pause, orjson.dumps({"pause_until": until}), timeout_seconds=2)
    assert answer["paused"]
    await environment.request()
    await environment.named_by_both("an operator has paused the queue of requests")


async def test_the_queue_was_recreated_after_payments_that_wait(environment: Environment) -> None:
    await environment.request()
    config = {"durable_name": CONSUMER, "filter_subject": "payments.requested", "ack_policy": "explicit"}
    answer = await environment.broker.request(
        f"$JS.API.CONSUMER.CREATE.{STREAM}.{CONSUMER}.payments.requested",
        orjson.dumps({"stream_name": STREAM, "config": {**config, "name": CONSUMER, "deliver_policy": "new"}}),
        timeout_seconds=2,
    )
    assert "error" not in answer
    await environment.named_by_both("the queue of requests begins after the oldest")


async def test_the_log_is_full(environment: Environment) -> None:
    default, fallback = Simulator("default", environment.folder), Simulator("fallback", environment.folder)
    await environment.request()
    state = await environment.broker.request(f"$JS.API.STREAM.INFO.{STREAM}", b"", timeout_seconds=2)
    await environment.log.ensure(LogLimits(bytes_max=state["state"]["bytes"] + 50))
    async with aiohttp.ClientSession() as session:
        with default, fallback:
            await default.ready(session)
            await fallback.ready(session)
            with Processor(environment.url, environment.folder, default=default.url, fallback=fallback.url):
                await environment.named_by_both("the log is full")
                await environment.named("the broker stores no event: maximum bytes exceeded", "processor")


async def test_a_hanging_read_model_does_not_hide_waiting_payments(environment: Environment) -> None:
    await ensure_consumer(environment.broker, REQUESTS)
    await environment.request()
    environment.projector.pause()
    await environment.named("no processor answers", "processor")
    ended = await environment.status("processor", *BOUND)
    assert "unknown: the projector did not answer in time" in ended.output.splitlines()[0]
    assert "1 waiting, 0 under way" in ended.output
    ended = await environment.status("projector", *BOUND)
    assert (ended.status, ended.output) == (1, "")
    assert ended.line.startswith("the projector did not answer in time")
    environment.projector.resume()


async def test_the_broker_is_away(tmp_path: Path) -> None:
    for program in ("processor", "projector"):
        ended = await asyncio.to_thread(
            run_command, program, "status", NATS_URL="nats://127.0.0.1:1", DATA_DIR=str(tmp_path)
        )
        assert ended.status == 1
        assert "cannot be reached" in ended.line


async def test_an_old_doubt_is_named_and_does_not_affect_other_health(environment: Environment) -> None:
    await ensure_consumer(environment.broker, REQUESTS)
    payment = await environment.request()
    await environment.log.append(PaymentRouted(payment, 1990, 1, "default", now_us(), "why"), timeout_seconds=5)
    await environment.log.append(PaymentInDoubt(payment, 1, "default", "no answer in time"), timeout_seconds=5)

    async def is_named() -> bool:
        ended = await environment.status("projector", "--doubt-seconds-max", "0.5", "--oldest-seconds-max", "600")
        return ended.status == 1 and "1 payments are in doubt, the oldest for " in ended.output

    await eventually(is_named, what="`projector status` names the doubt")
    ended = await environment.status("processor", "--doubt-seconds-max", "0.5", "--oldest-seconds-max", "600")
    assert f"1 in doubt for more than 0.5 s, {payment} for " in ended.output
    assert (await environment.status("projector", "--oldest-seconds-max", "600")).status == 0


async def test_a_gateway_that_accepts_names_waiting_payments(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aiohttp.ClientSession() as session:
        with Gateway(environment.url, environment.folder) as gateway:
            await gateway.ready(session)

            async def is_well() -> bool:
                async with session.get(f"{gateway.url}/readyz") as answer:
                    return answer.status == 204

            await eventually(is_well, what="nothing waits yet")
    await environment.request()
    monkeypatch.setattr(module, "OLDEST_SECONDS_MAX", 0.2)
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    ready = Readiness(ReadModel(environment.broker), environment.broker.clock)

    async def is_named() -> bool:
        warnings = await ready.warnings()
        return len(warnings) == 1 and warnings[0].startswith("1 payments wait to be charged, the oldest for ")

    await eventually(is_named, what="the warning names what waits")


@pytest.mark.parametrize("program", ["processor", "projector"])
async def test_a_payment_that_ends_between_two_questions_is_not_named_as_never_delivered(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    await ensure_consumer(environment.broker, REQUESTS)
    queue = await environment.broker.client.jetstream().pull_subscribe_bind(CONSUMER, STREAM)
    waiting = [await environment.request()]
    # `projector status` would not know the payment otherwise.
    await ReadModel(environment.broker).charging(timeout_seconds=5)

    async def end_payment() -> None:
        """As a processor does: the outcome is stored, then the request acknowledged."""
        while waiting:
            payment = waiting.pop()
            await environment.log.append(PaymentRouted(payment, 1990, 1, "default", now_us(), "why"), timeout_seconds=5)
            processed = PaymentProcessed(payment, 1990, 1, "default", now_us(), now_us())
            await environment.log.append(processed, timeout_seconds=5)
            (delivery,) = await queue.fetch(1, timeout=5)
            await delivery.ack_sync()

    def ends_the_payment_after(ask: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
        async def asked(*arguments: object, **options: object) -> Answer:
            answer = await ask(*arguments, **options)
            await end_payment()
            return answer

        return asked

    monkeypatch.setattr(ReadModel, "charging", ends_the_payment_after(ReadModel.charging))
    monkeypatch.setattr(ReadModel, "status", ends_the_payment_after(ReadModel.status))
    variables = {"NATS_URL": environment.url, "DATA_DIR": str(environment.folder)}
    if program == "processor":
        answers = await ask_status(load(ProcessorSettings, variables))
        found = assess(answers.charging, answers.facts, answers.now_us, oldest_seconds_max=0, doubt_seconds_max=600)
        named = "; ".join(found.troubles)
    else:
        await show_status(load(ProjectorSettings, variables), Bounds(oldest_seconds_max=0), as_json=False)
        named = capsys.readouterr().out
    assert not waiting
    assert named
    assert "never delivered" not in named
