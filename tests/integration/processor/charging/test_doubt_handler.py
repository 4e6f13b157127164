"""Doubts on a real broker: no other payment waits for them, and they end when their provider answers again."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support import forked
from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.nats_server import NatsServer
from tests.support.services import Processor, Projector, Simulator
from tollgate.contract.events import PaymentInDoubt, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_api import Charging
from tollgate.contract.subjects import CONSUMER, DOUBTS_CONSUMERS, STREAM
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError

DOUBTS = 60
SLOW = {"PROCESSOR_TIMEOUT_SECONDS": "0.5", "PROCESSOR_PATIENCE_SECONDS": "0.3"}


class Environment:
    """A broker, a projector and two providers; the tests write the doubts to the log."""

    def __init__(self, nats_server: NatsServer, broker: Broker, log: Log, folder: Path) -> None:
        self.nats_server = nats_server
        self.broker = broker
        self.log = log
        self.folder = folder
        self.default = Simulator("default", folder)
        self.fallback = Simulator("fallback", folder)

    def replica(self, name: str = "1", **env: str) -> Processor:
        urls = {"default": self.default.url, "fallback": self.fallback.url}
        return Processor(self.nats_server.url, self.folder, **urls, name=name, **env)

    async def request(self, count: int) -> list[str]:
        ids = [str(uuid.uuid4()) for _ in range(count)]
        for payment in ids:
            await self.log.append(PaymentRequested(payment, 1990, now_us()), timeout_seconds=10)
        return ids

    async def doubtful(self, count: int) -> list[str]:
        """Payments in doubt at `default`, as an older processor leaves them: their requests lie in the queue."""
        ids = await self.request(count)
        for payment in ids:
            await self.log.append(PaymentRouted(payment, 1990, 1, "default", now_us(), "why"), timeout_seconds=10)
            await self.log.append(PaymentInDoubt(payment, 1, "default", "no answer in time"), timeout_seconds=10)
        return ids

    async def charging(self) -> Charging:
        return await ReadModel(self.broker).charging(timeout_seconds=5)

    async def queued(self, consumer: str) -> int:
        info = await self.broker.request(f"$JS.API.CONSUMER.INFO.{STREAM}.{consumer}", b"", timeout_seconds=5)
        return -1 if "error" in info else int(info["num_pending"]) + int(info["num_ack_pending"])

    def queue_is(self, consumer: str, length: int) -> Callable[[], Coroutine[Any, Any, bool]]:
        async def is_so() -> bool:
            return await self.queued(consumer) == length

        return is_so


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def environment(
    nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path, session: aiohttp.ClientSession
) -> AsyncIterator[Environment]:
    created = Environment(nats_server, broker, log, tmp_path)
    with created.default, created.fallback, Projector(nats_server.url, tmp_path):
        await created.default.ready(session)
        await created.fallback.ready(session)

        async def answers() -> bool:
            try:
                return (await created.charging()).position >= 0
            except ReadModelUnavailableError:
                return False

        await eventually(answers, what="the projector answers", timeout_seconds=30)
        yield created


def all_ended(environment: Environment) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def is_so() -> bool:
        charging = await environment.charging()
        return charging.pending + charging.routed + charging.in_doubt == 0

    return is_so


def has(simulator: Simulator, session: aiohttp.ClientSession, ids: set[str]) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def is_so() -> bool:
        return ids <= (await simulator.book(session)).keys()

    return is_so


async def test_doubts_of_an_older_log_delay_no_payment_also_after_kill_9_and_end_when_their_provider_answers(
    environment: Environment, session: aiohttp.ClientSession
) -> None:
    await environment.default.switch(session, "configurations/delay", delay=60_000)
    doubts = set(await environment.doubtful(DOUBTS))
    with environment.replica(**SLOW) as replica:
        await eventually(
            environment.queue_is(CONSUMER, 0), what="the requests in doubt are done with", timeout_seconds=30
        )
        assert await environment.queued(DOUBTS_CONSUMERS["default"]) == DOUBTS
        first = set(await environment.request(20))
        await eventually(has(environment.fallback, session, first), what="new payments are charged", timeout_seconds=30)
        replica.kill()
        replica.start()
        second = set(await environment.request(20))
        await eventually(has(environment.fallback, session, second), what="also after the kill", timeout_seconds=30)
        # Its start is behind the doubts' requests, and its first question is to them.
        assert (await environment.charging()).in_doubt == DOUBTS, "no payment became a doubt by probing"
        await environment.default.switch(session, "configurations/delay", delay=0)
        await eventually(all_ended(environment), what="all doubts end", timeout_seconds=60)
        await eventually(environment.queue_is(DOUBTS_CONSUMERS["default"], 0), what="their queue is empty")
    book = await environment.default.book(session)
    assert doubts <= book.keys()
    assert not book.keys() & (await environment.fallback.book(session)).keys(), "charged twice"


async def test_failing_lookups_route_no_new_payment_away_from_the_provider(
    environment: Environment, session: aiohttp.ClientSession
) -> None:
    await environment.default.switch(session, "faults", lookup_no_route_ratio=1)
    doubts = set(await environment.doubtful(40))
    with environment.replica():
        await eventually(
            environment.queue_is(CONSUMER, 0), what="the requests in doubt are done with", timeout_seconds=30
        )
        (first,) = await environment.request(1)
        await eventually(
            has(environment.default, session, {first}), what="a probe finds the provider up", timeout_seconds=30
        )
        new = set(await environment.request(100))
        await eventually(all_but(environment, 40), what="new payments end", timeout_seconds=30)
        assert new <= (await environment.default.book(session)).keys()
        assert not await environment.fallback.book(session)
        assert (await environment.charging()).in_doubt == len(doubts)
        await environment.default.switch(session, "faults", lookup_no_route_ratio=0)
        await eventually(all_ended(environment), what="all doubts end", timeout_seconds=60)


def all_but(environment: Environment, doubts: int) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def is_so() -> bool:
        charging = await environment.charging()
        return (charging.pending, charging.routed, charging.in_doubt) == (0, 0, doubts)

    return is_so


async def test_many_doubts_are_resolved_at_once_from_a_file_or_by_provider_and_age(
    environment: Environment, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    environment.default.kill()
    ids = await environment.doubtful(12)
    # The default provider stays down; what is released goes to the other one without waiting for it.
    with environment.replica(PROCESSOR_PATIENCE_SECONDS="1"):
        await eventually(
            environment.queue_is(CONSUMER, 0), what="the requests in doubt are done with", timeout_seconds=30
        )
        (tmp_path / "ids").write_text("\n".join(["# their list", *ids[:5], "", str(uuid.uuid4())]))
        lines = await resolve(environment, "--from", str(tmp_path / "ids"), "--not-charged", "--dry-run", status=1)
        assert [line.split(" ", 1)[0] in ids[:5] for line in lines].count(True) == 5
        assert lines[-1] == "5 could be resolved, 1 not"
        assert (await environment.charging()).in_doubt == 12, "a dry run records nothing"

        lines = await resolve(
            environment, "--from", str(tmp_path / "ids"), "--not-charged", "--hold-seconds", "0", status=1
        )
        assert sum("released: attempt 1 was not charged" in line for line in lines) == 5
        assert sum("not resolved: no payment" in line for line in lines) == 1
        assert lines[-1] == "5 resolved, 1 not"
        await eventually(has(environment.fallback, session, set(ids[:5])), what="they are charged elsewhere")

        lines = await resolve(environment, "--provider", "default", "--older-than", "3600", "--charged", status=0)
        assert lines[-1] == "0 resolved, 0 not"
        lines = await resolve(
            environment, "--provider", "default", "--older-than", "0", "--limit", "3", "--charged", status=0
        )
        assert lines[-1] == "3 resolved, 0 not"
        assert [line.split(" ", 1)[0] for line in sorted(lines[:-1])] == sorted(ids[5:8]), "the oldest"
        await eventually(all_but(environment, 4), what="the others stay in doubt")


async def resolve(environment: Environment, *arguments: str, status: int) -> list[str]:
    variables = {
        "NATS_URL": environment.nats_server.url,
        "PAYMENT_PROCESSOR_URL_DEFAULT": environment.default.url,
        "PAYMENT_PROCESSOR_URL_FALLBACK": environment.fallback.url,
    }
    done = await asyncio.to_thread(
        forked.run,
        [str(BIN / "processor"), "resolve", *arguments, "--note", "x", "--force"],
        env={**os.environ, **variables},
    )
    assert done.returncode == status, done
    return (done.stdout + done.stderr).splitlines()
