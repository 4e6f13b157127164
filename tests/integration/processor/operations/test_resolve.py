"""Manual resolution on a real log: its effect, and when it is refused."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.support import forked
from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.nats_server import NatsServer
from tests.support.services import Gateway, Processor, Projector, Simulator
from tollgate.contract.codec import decode
from tollgate.contract.events import (
    Event,
    ManualResolution,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.read_model_api import SEQUENCES_MAX
from tollgate.contract.subjects import CONSUMER, STREAM
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.processor.charging.histories import Histories
from tollgate.processor.charging.outcomes import Found, LookupAnswer, Missing, NoAnswer
from tollgate.processor.operations.manual_resolution import RequestedResolution
from tollgate.processor.operations.resolve import CannotResolveError, Lookup, Resolver

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHARGED = RequestedResolution(is_charged=True, by="ana", note="on their statement")
NOT_CHARGED = RequestedResolution(is_charged=False, by="ana", note="their support says no")
STAMP_US = 1_750_000_000_000_000


@dataclass(frozen=True, slots=True)
class Answering:
    """A provider that answers every lookup the same."""

    answer: LookupAnswer

    async def look_up(self, _processor: str, _correlation_id: str) -> LookupAnswer:
        return self.answer


class Environment:
    """A broker and a projector; the tests write the payments in doubt to the log."""

    def __init__(self, nats_server: NatsServer, broker: Broker, log: Log) -> None:
        self.nats_server = nats_server
        self.broker = broker
        self.log = log
        self.lines: list[str] = []

    async def append(self, *events: Event) -> int:
        sequences = [(await self.log.append(event, timeout_seconds=5)).sequence for event in events]
        return sequences[-1]

    async def doubtful(self, *, attempts_before: int = 0) -> str:
        """The id of a payment whose last attempt, at `default`, is in doubt."""
        payment = str(uuid.uuid4())
        await self.append(PaymentRequested(payment, 1990, now_us()))
        for attempt in range(1, attempts_before + 1):
            await self.append(
                PaymentRouted(payment, 1990, attempt, "fallback", STAMP_US, "why"),
                PaymentReleased(payment, attempt, "fallback", "429"),
            )
        attempt = attempts_before + 1
        await self.append(
            PaymentRouted(payment, 1990, attempt, "default", STAMP_US, "why"),
            PaymentInDoubt(payment, attempt, "default", "no answer in time"),
        )
        return payment

    async def resolve(
        self, payment: str, requested: RequestedResolution, processors: Lookup, *, is_forced: bool = False
    ) -> None:
        resolver = Resolver(self.log, Histories(self.broker, ReadModel(self.broker)), processors, self.lines.append)
        await resolver.resolve(payment, requested, hold_seconds=0.0, is_forced=is_forced)

    async def last_events(self, count: int) -> list[Event]:
        end = (await self.broker.log_state(timeout_seconds=5)).last_sequence
        deadline = asyncio.get_running_loop().time() + 5
        payloads = [await self.log.payload_at(one, deadline=deadline) for one in range(end - count + 1, end + 1)]
        return [decode(payload) for payload in payloads if payload is not None]

    async def last_sequence(self) -> int:
        return (await self.broker.log_state(timeout_seconds=5)).last_sequence


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """One for all tests: each has payments of its own."""
    folder = tmp_path_factory.mktemp("resolving")
    with NatsServer(folder / "nats") as nats_server, Projector(nats_server.url, folder):
        await nats_server.ready()
        async with Broker(nats_server.url, name="test") as broker:
            log = Log(broker)
            await log.ensure(LogLimits())
            await eventually(lambda: _answers(broker), what="the projector answers")
            yield Environment(nats_server, broker, log)


async def _answers(broker: Broker) -> bool:
    try:
        return (await ReadModel(broker).charging(timeout_seconds=1)).position >= 0
    except ReadModelUnavailableError:
        return False


async def test_a_doubt_resolved_as_charged_ends_under_the_stamp_of_the_providers_record(
    environment: Environment,
) -> None:
    payment = await environment.doubtful()
    await environment.resolve(payment, CHARGED, Answering(Found(1990, STAMP_US + 7)))
    (end,) = await environment.last_events(1)
    assert isinstance(end, PaymentProcessed)
    assert (end.attempt, end.provider, end.requested_at_us) == (1, "default", STAMP_US + 7)
    assert end.resolution is not None
    assert (end.resolution.by, end.resolution.note) == ("ana", "on their statement")
    view = await ReadModel(environment.broker).payment(payment, timeout_seconds=5)
    assert view is not None
    assert (view.state, view.doubt) == ("processed", None)


async def test_where_the_lookup_fails_the_operators_stamp_counts_or_else_the_attempts_own(
    environment: Environment,
) -> None:
    for requested, stamp in ((CHARGED, STAMP_US), (replace(CHARGED, requested_at_us=STAMP_US + 9), STAMP_US + 9)):
        await environment.resolve(await environment.doubtful(), requested, Answering(NoAnswer("gone")))
        (end,) = await environment.last_events(1)
        assert isinstance(end, PaymentProcessed)
        assert end.requested_at_us == stamp


@pytest.mark.parametrize(
    ("requested", "answer", "why"),
    [
        (CHARGED, Missing(), "default has no record of it"),
        (CHARGED, Found(1000, STAMP_US), "a record of it over 10.00, not over 19.90"),
        (replace(CHARGED, requested_at_us=1), Found(1990, STAMP_US), "holds it under requestedAt 2025-06-15"),
        (NOT_CHARGED, Found(1990, STAMP_US), "it was charged"),
        (NOT_CHARGED, Found(1000, STAMP_US), "a record of it over 10.00, not over 19.90"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_resolution_that_the_providers_record_contradicts_is_refused_unless_forced(
    environment: Environment, requested: RequestedResolution, answer: LookupAnswer, why: str
) -> None:
    payment = await environment.doubtful()
    before = await environment.last_sequence()
    with pytest.raises(CannotResolveError, match=why):
        await environment.resolve(payment, requested, Answering(answer))
    assert await environment.last_sequence() == before
    await environment.resolve(payment, requested, Answering(answer), is_forced=True)
    view = await ReadModel(environment.broker).payment(payment, timeout_seconds=5)
    assert view is not None
    assert view.state == ("processed" if requested.is_charged else "pending")


async def test_not_charged_first_holds_the_attempt_and_a_charge_that_arrives_meanwhile_stops_it(
    environment: Environment,
) -> None:
    payment = await environment.doubtful()
    answers: Iterator[LookupAnswer] = iter([Missing(), Found(1990, STAMP_US)])

    class ChargedLate:
        async def look_up(self, _processor: str, _correlation_id: str) -> LookupAnswer:
            return next(answers)

    environment.lines.clear()
    with pytest.raises(CannotResolveError, match="it was charged"):
        await environment.resolve(payment, NOT_CHARGED, ChargedLate())
    assert environment.lines[0] == "default was asked for its record of it: no record"
    assert environment.lines[-1].endswith("a record over 19.90, requestedAt 2025-06-15T15:06:40.000000Z")
    (event,) = await environment.last_events(1)
    assert isinstance(event, PaymentInDoubt)
    assert event.resolution is not None
    # Said again of an attempt that is held already, it is not held a second time.
    await environment.resolve(payment, NOT_CHARGED, Answering(Missing()))
    assert [type(one) for one in await environment.last_events(2)] == [PaymentInDoubt, PaymentReleased]


async def test_a_resolution_after_the_providers_answer_is_void_and_reported_as_such(environment: Environment) -> None:
    payment = await environment.doubtful()

    class EndedMeanwhile:
        async def look_up(self, _processor: str, _correlation_id: str) -> LookupAnswer:
            await environment.append(PaymentProcessed(payment, 1990, 1, "default", STAMP_US, now_us()))
            return NoAnswer("gone")

    for requested in (CHARGED, NOT_CHARGED):
        with pytest.raises(CannotResolveError, match=r"too late, and void: PaymentProcessed ended the payment at \d+"):
            await environment.resolve(payment, requested, EndedMeanwhile())
        payment = await environment.doubtful()


async def test_a_resolution_after_another_operators_is_void_and_reported_as_such(environment: Environment) -> None:
    payment = await environment.doubtful()
    resolution = ManualResolution("bea", "no", 1)

    class ReleasedMeanwhile:
        async def look_up(self, _processor: str, _correlation_id: str) -> LookupAnswer:
            await environment.append(
                PaymentInDoubt(payment, 1, "default", "held", resolution),
                PaymentReleased(payment, 1, "default", "no", resolution),
                PaymentRouted(payment, 1990, 2, "fallback", STAMP_US, "why"),
            )
            return NoAnswer("gone")

    with pytest.raises(CannotResolveError, match="void: another resolution came first"):
        await environment.resolve(payment, CHARGED, ReleasedMeanwhile())
    view = await ReadModel(environment.broker).payment(payment, timeout_seconds=5)
    assert view is not None
    assert view.state == "routed"


async def test_a_payment_that_is_not_in_doubt_is_refused(environment: Environment) -> None:
    with pytest.raises(CannotResolveError, match=r"no payment .* was requested"):
        await environment.resolve(str(uuid.uuid4()), CHARGED, Answering(Missing()))
    payment = str(uuid.uuid4())
    for event, why in (
        (PaymentRequested(payment, 1990, now_us()), "it waits to be routed"),
        (PaymentRouted(payment, 1990, 1, "default", STAMP_US, "why"), "under way at default, not in doubt"),
        (PaymentProcessed(payment, 1990, 1, "default", STAMP_US, now_us()), "PaymentProcessed ended it"),
    ):
        await environment.append(event)
        with pytest.raises(CannotResolveError, match=why):
            await environment.resolve(payment, CHARGED, Answering(NoAnswer("gone")), is_forced=True)


async def test_a_payment_with_a_longer_history_than_the_read_model_keeps_is_read_in_the_log(
    environment: Environment,
) -> None:
    payment = await environment.doubtful(attempts_before=SEQUENCES_MAX // 2)
    await environment.resolve(payment, CHARGED, Answering(Found(1990, STAMP_US)))
    (end,) = await environment.last_events(1)
    assert isinstance(end, PaymentProcessed)
    assert end.attempt == SEQUENCES_MAX // 2 + 1


async def test_a_doubt_whose_provider_is_gone_is_shown_released_and_charged_elsewhere(
    environment: Environment, tmp_path: Path
) -> None:
    """With the real programs: the worker takes the doubt, status and gateway show it, the operator resolves it."""
    default, fallback = Simulator("default", tmp_path), Simulator("fallback", tmp_path)
    replica = Processor(environment.nats_server.url, tmp_path, default=default.url, fallback=fallback.url)
    gateway = Gateway(environment.nats_server.url, tmp_path)
    env = {
        "NATS_URL": environment.nats_server.url,
        "PAYMENT_PROCESSOR_URL_DEFAULT": default.url,
        "PAYMENT_PROCESSOR_URL_FALLBACK": fallback.url,
    }
    async with aiohttp.ClientSession() as session:
        with fallback, gateway:
            await fallback.ready(session)
            await gateway.ready(session)
            payment = await environment.doubtful()
            with replica:

                async def has_queue() -> bool:
                    info = f"$JS.API.CONSUMER.INFO.{STREAM}.{CONSUMER}"
                    return "error" not in await environment.broker.request(info, b"", timeout_seconds=2)

                await eventually(has_queue, what="the queue is made")
                status = json.loads(await command(env, "status", "--json"))
                doubt = next(one for one in status["doubts"] if one["correlationId"] == payment)
                assert (doubt["processor"], doubt["attempt"], doubt["amountCents"]) == ("default", 1, 1990)
                assert (doubt["why"], doubt["held"]) == ("no answer in time", False)
                assert status["payments"]["inDoubt"] == len(status["doubts"])
                assert sum(status["sideQueues"]["doubts-default"].values()) >= 1
                async with session.get(f"{gateway.url}/payments/{payment}") as response:
                    shown = (await response.json())["doubt"]
                assert (shown["processor"], shown["attempt"], shown["why"]) == ("default", 1, "no answer in time")
                assert 0 <= shown["ageSeconds"] < 30

                output = await command(
                    env, "resolve", payment, "--not-charged", "--note", "gone for good", "--force", hold_seconds="0"
                )
                assert "released: attempt 1 was not charged" in output

                async def is_charged() -> bool:
                    async with session.get(f"{gateway.url}/payments/{payment}") as response:
                        return bool((await response.json())["state"] == "processed")

                await eventually(is_charged, what="the charge is in the log")
                assert payment in await fallback.book(session)
            output = await command(env, "resolve", payment, "--charged", "--note", "x", fails=1)
            assert "it is not in doubt: PaymentProcessed ended it" in output
            assert "Traceback" not in output


async def test_without_a_broker_a_command_reports_that_in_one_line(tmp_path: Path) -> None:
    output = await command({"NATS_URL": "nats://127.0.0.1:1"}, "status", fails=1)
    assert output.startswith("the broker at 127.0.0.1:1 cannot be reached: ")
    assert output.count("\n") == 1


async def test_a_hold_that_may_meet_a_sending_under_way_is_refused_unless_forced() -> None:
    payment, env = str(uuid.uuid4()), {"NATS_URL": "nats://127.0.0.1:1"}
    output = await command(env, "resolve", payment, "--not-charged", "--note", "x", fails=1, hold_seconds="19.9")
    assert output == "a hold of less than 20 s may meet a sending under way: --force takes the risk\n"


async def command(env: dict[str, str], *arguments: str, fails: int = 0, hold_seconds: str | None = None) -> str:
    hold = [] if hold_seconds is None else ["--hold-seconds", hold_seconds]
    done = await asyncio.to_thread(
        forked.run, [str(BIN / "processor"), *arguments, *hold], env={**os.environ, **env}, timeout=30
    )
    assert done.returncode == fails, done
    return done.stdout + done.stderr
