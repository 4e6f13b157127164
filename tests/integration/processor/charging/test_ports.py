"""The ports of the charging handlers: the model's fake and the real adapter behave alike.

The charging model explores the handlers against the fake; that shows nothing unless the fake does what the adapters do.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import aiohttp
import pytest

from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.services import Simulator
from tests.unit.processor.charging.charging_environment import AMOUNT_CENTS, PAYMENT, Environment, Fault
from tollgate.contract.batch import split
from tollgate.contract.codec import decode
from tollgate.contract.events import Event, PaymentInDoubt, PaymentReleased, PaymentRouted, ProviderName
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import message_at
from tollgate.messaging.log import Appended, Log, LogLimits
from tollgate.processor.charging.group_commit import GroupCommit
from tollgate.processor.charging.outcomes import (
    Answer,
    Attempt,
    Charged,
    Duplicate,
    Found,
    LookupAnswer,
    Missing,
    NoAnswer,
    NotReached,
)
from tollgate.processor.charging.ports import LogAppender, Providers
from tollgate.processor.charging.provider import Provider
from tollgate.processor.charging.provider_client import ProviderClient
from tollgate.processor.charging.provider_log import ProviderLog

INTENT = PaymentRouted(PAYMENT, AMOUNT_CENTS, 1, "default", 1_750_000_000_000_001, "why")
DOUBT = PaymentInDoubt(PAYMENT, 1, "default", "why", request_sequence=1)


class ReadableAppender(LogAppender, Protocol):
    """An appender whose log the test can read."""

    async def event_at(self, sequence: int) -> Event: ...


class FakeAppender:
    """The model's log."""

    def __init__(self) -> None:
        self._world = Environment(worker_count=0)

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        del timeout_seconds
        outcome = self._world._outcome_of_appending(event, Fault.NONE)
        assert isinstance(outcome, Appended)
        return outcome

    async def event_at(self, sequence: int) -> Event:
        return self._world.log[sequence - 1]


class RealAppender:
    """The group commit on a real broker."""

    def __init__(self, broker: Broker, log: Log) -> None:
        self._broker = broker
        self._appender = GroupCommit(log)

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        return await self._appender.append(event, timeout_seconds=timeout_seconds)

    async def event_at(self, sequence: int) -> Event:
        message = await message_at(self._broker, sequence)
        assert message is not None
        (event,) = split(message.payload)
        return decode(event)


@pytest.fixture(params=["fake", "real"])
async def appender(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ReadableAppender]:
    if request.param == "fake":
        yield FakeAppender()
        return
    with NatsServer(tmp_path / "nats") as server:
        await server.ready()
        async with Broker(server.url, name="test") as broker:
            log = Log(broker)
            await log.ensure(LogLimits())
            yield RealAppender(broker, log)


async def test_an_event_that_is_acknowledged_is_at_its_sequence(appender: ReadableAppender) -> None:
    first = await appender.append(INTENT, timeout_seconds=5)
    second = await appender.append(DOUBT, timeout_seconds=5)
    assert first.sequence < second.sequence
    assert await appender.event_at(first.sequence) == INTENT
    assert await appender.event_at(second.sequence) == DOUBT


async def test_an_event_with_a_message_id_is_stored_once(appender: ReadableAppender) -> None:
    first = await appender.append(DOUBT, timeout_seconds=5)
    again = await appender.append(DOUBT, timeout_seconds=5)
    assert first.existing is None
    assert (again.sequence, again.existing) == (first.sequence, DOUBT)
    other = await appender.append(PaymentReleased(PAYMENT, 1, "default", "why"), timeout_seconds=5)
    assert other.sequence > first.sequence


async def test_an_intent_that_is_appended_again_is_acknowledged_at_a_place_that_holds_it(
    appender: ReadableAppender,
) -> None:
    """The fake always stores it twice, the group commit only in a group: no handler may rely on either."""
    for _ in range(2):
        appended = await appender.append(INTENT, timeout_seconds=5)
        assert await appender.event_at(appended.sequence) == INTENT


class FakeProviders:
    """The model's providers; fallback refuses connections."""

    def __init__(self) -> None:
        self._world = Environment(worker_count=0)

    async def send(self, attempt: Attempt) -> Answer:
        return self._world._outcome_of_sending(
            attempt, Fault.NONE if attempt.provider == "default" else Fault.CONNECTION_REFUSED
        )

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        assert correlation_id == PAYMENT
        return self._world._outcome_of_lookup(provider, Fault.NONE if provider == "default" else Fault.NO_ANSWER)


@pytest.fixture(params=["fake", "real"])
async def providers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Providers]:
    """Default is well; fallback refuses connections."""
    if request.param == "fake":
        yield FakeProviders()
        return
    async with AsyncExitStack() as stack:
        default = stack.enter_context(Simulator("default", tmp_path))
        await default.ready(await stack.enter_async_context(aiohttp.ClientSession()))
        fallback = Provider(f"http://127.0.0.1:{free_port()}")
        client = ProviderClient(
            {"default": Provider(default.url), "fallback": fallback},
            provider_log=ProviderLog(),
            timeout_seconds=10,
            connections_max=2,
        )
        stack.push_async_callback(client.close)
        yield client


async def test_an_attempt_is_charged_once_and_its_record_has_its_stamp(providers: Providers) -> None:
    assert isinstance(await providers.look_up("default", PAYMENT), Missing)
    assert isinstance(await providers.send(INTENT), Charged)
    assert isinstance(await providers.send(INTENT), Duplicate)
    record = await providers.look_up("default", PAYMENT)
    assert isinstance(record, Found)
    assert record.requested_at_us == INTENT.requested_at_us


async def test_a_provider_that_refuses_connections_is_not_reached_and_its_lookup_proves_nothing(
    providers: Providers,
) -> None:
    attempt = PaymentRouted(PAYMENT, AMOUNT_CENTS, 1, "fallback", INTENT.requested_at_us, "why")
    assert isinstance(await providers.send(attempt), NotReached)
    assert isinstance(await providers.look_up("fallback", PAYMENT), NoAnswer)
