"""What an operator has to know leaves a line of the program log, by real programs, in the form that the page shows."""

import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.broken_log import cut_in_half
from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.programs import Program
from tests.support.services import Processor, Projector, Simulator
from tollgate.contract.events import PaymentRequested
from tollgate.contract.timestamps import now_us
from tollgate.messaging.log import Log

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "logs.md").read_text()
ALWAYS = {"time", "level", "program", "instance", "logger", "message", "event"}
OF_PAYMENT = ALWAYS | {"correlation_id", "provider", "attempt", "reason"}
TEXT = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?P<level>[A-Z]+) +(?P<logger>[a-z_.]+): (?P<message>.+)$"
)
SECONDS_MAX = 40
Line = Mapping[str, Any]


def example(start: str) -> str:
    """The line of the page that begins so."""
    (found,) = (line for line in PAGE.splitlines() if line.startswith(start))
    return found


@dataclass(frozen=True)
class Environment:
    """Two replicas that charge at two providers; the first one writes JSON, the second one text."""

    server: NatsServer
    log: Log
    session: aiohttp.ClientSession
    default: Simulator
    replicas: tuple[Program, Program]
    projector: Program

    async def request(self) -> None:
        await self.log.append(PaymentRequested(str(uuid.uuid4()), 1990, now_us()), timeout_seconds=5)

    async def line(self, event: str, *, of: Program | None = None) -> Line:
        """Waits for the first line of that kind."""

        async def is_there() -> bool:
            return bool(lines(of or self.replicas[0], event))

        await eventually(is_there, what=f"a line {event}", timeout_seconds=SECONDS_MAX)
        return lines(of or self.replicas[0], event)[0]

    async def line_of_payments(self, event: str) -> Line:
        """The same, while payments come."""

        async def is_there() -> bool:
            await self.request()
            return bool(lines(self.replicas[0], event))

        await eventually(is_there, what=f"a line {event}", timeout_seconds=SECONDS_MAX)
        return lines(self.replicas[0], event)[0]


def lines(program: Program, event: str) -> list[Line]:
    return [line for line in map(json.loads, program.output().splitlines()) if line.get("event") == event]


@pytest.fixture
async def environment(nats_server: NatsServer, log: Log, tmp_path: Path) -> AsyncIterator[Environment]:
    async with aiohttp.ClientSession() as session:
        with ExitStack() as stack:
            default = stack.enter_context(Simulator("default", tmp_path))
            fallback = stack.enter_context(Simulator("fallback", tmp_path))
            for one in (default, fallback):
                await one.ready(session)
            projector = stack.enter_context(Projector(nats_server.url, tmp_path, LOG_FORMAT="json"))
            started = []
            for number, form in enumerate(("json", "text")):
                replica = Processor(
                    *(nats_server.url, tmp_path),
                    default=default.url,
                    fallback=fallback.url,
                    name=str(number),
                    LOG_FORMAT=form,
                    PROCESSOR_HEALTH_INTERVAL_SECONDS="0.5",
                    PROCESSOR_PATIENCE_SECONDS="0.5",
                )
                started.append(stack.enter_context(replica))
                if number == 0:
                    # The first one to start has the lease.
                    await eventually(
                        lambda: has_lease(started[0]), what="it has the lease", timeout_seconds=SECONDS_MAX
                    )
            yield Environment(nats_server, log, session, default, (started[0], started[1]), projector)


async def has_lease(replica: Program) -> bool:
    return bool(lines(replica, "lease_taken"))


async def test_rejections_doubts_breakers_and_leases_leave_lines(environment: Environment) -> None:
    default, session, (first, second) = environment.default, environment.session, environment.replicas
    assert set((await environment.line("lease_taken")).keys()) == ALWAYS

    await default.switch(session, "faults", own_refusal_ratio=1)
    assert set(await environment.line_of_payments("payment_rejected")) - {"repeated"} == OF_PAYMENT
    await default.switch(session, "faults", own_refusal_ratio=0)

    await default.switch(session, "faults", lost_answer_ratio=1, lookup_refused_ratio=1)
    doubt = await environment.line_of_payments("payment_in_doubt")
    assert set(doubt) - {"repeated"} == set(json.loads(example('{"time":'))) == OF_PAYMENT
    await default.switch(session, "faults", lost_answer_ratio=0, lookup_refused_ratio=0)
    assert set(await environment.line_of_payments("doubt_ended")) - {"repeated"} == OF_PAYMENT

    await default.switch(session, "configurations/failure", failure=True)
    opened = await environment.line_of_payments("breaker_opened")
    assert (opened["provider"], opened["level"]) == ("default", "WARNING")
    await default.switch(session, "configurations/failure", failure=False)
    assert (await environment.line_of_payments("breaker_closed"))["level"] == "INFO"

    # The text of the other replica has the form of the page's example, and the same loggers and texts.
    shown, written = TEXT.match(example("2026-11-27T23:14:27Z")), second.output().splitlines()
    assert shown
    assert all(TEXT.match(line) for line in written)
    message = re.sub(r"\([0-9a-f-]{36}\)", "(…)", shown["message"]).partition(": no answer")[0]
    assert doubt["message"].startswith(message)
    assert (doubt["logger"], doubt["level"]) == (shown["logger"], shown["level"])

    first.pause()

    async def other_has_lease() -> bool:
        return "this replica now asks the providers for their health" in second.output()

    await eventually(other_has_lease, what="the other replica has the lease", timeout_seconds=SECONDS_MAX)
    first.resume()
    assert set(await environment.line("lease_lost")) == ALWAYS | {"holder"}


async def test_a_lost_broker_and_a_damaged_log_leave_lines(environment: Environment) -> None:
    for _ in range(20):
        await environment.request()
    environment.server.stop()
    lost = await environment.line("broker_lost")
    assert lost["level"] == "WARNING"
    cut_in_half(environment.server)
    environment.server.start()
    for program in (environment.replicas[0], environment.projector):
        fault = await environment.line("log_fault", of=program)
        assert set(fault) == ALWAYS | {"reason"}
        assert fault["level"] == "ERROR"

    async def is_connected_again() -> bool:
        return bool(lines(environment.replicas[0], "broker_connected")[-1]["time"] > lost["time"])

    # The second line of a kind within 5 s is written after them.
    await eventually(is_connected_again, what="a line that the broker is back")
