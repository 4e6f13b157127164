"""Proxies between a replica and a provider answer in its place: no payment is charged twice, and none is rejected."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.services import Processor, Simulator
from tollgate.contract.batch import split
from tollgate.contract.codec import decode
from tollgate.contract.events import (
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
)
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.health_bucket import HealthBucket
from tollgate.messaging.log import Log
from tollgate.messaging.log_reader import LogReader
from tollgate.runtime.log_fields import documented

CREDENTIAL = "Bearer s3cr3t-t0k3n"
INGRESS_STATUSES = (401, 403, 404, 405, 408, 409, 413, 425, 451, 502, 503, 504, 522)
OUTSIDE_LINES_MAX = 12
"""At most one line in five seconds for payments and one for lookups, for as long as a test lasts."""


class Ingress:
    """Stands before a provider; answers in its place while it has `statuses`, or where `credential` is not shown."""

    def __init__(self, provider: Simulator) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.statuses: Iterator[int] | None = None
        self.credential: str | None = None
        self.asked: list[tuple[str, str, str | None]] = []
        """Method, path and credential of each request."""
        self._provider = provider
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Ingress"]:
        async with aiohttp.ClientSession() as self._session:
            runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._session is not None
        shown = request.headers.get("Authorization")
        self.asked.append((request.method, request.path, shown))
        if self.statuses is not None:
            return self._answer(next(self.statuses))
        if self.credential not in {None, shown}:
            return self._answer(401)
        headers = {"Content-Type": "application/json"}
        url, body = self._provider.url + request.path, await request.read()
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read())

    @staticmethod
    def _answer(status: int) -> web.Response:
        return web.Response(status=status, text="<html>an ingress</html>", content_type="text/html")


class Environment:
    """A broker, two providers of which default is behind an ingress, and a log that a test writes requests to."""

    def __init__(
        self, nats_server: NatsServer, broker: Broker, log: Log, folder: Path, session: aiohttp.ClientSession
    ) -> None:
        self.session = session
        self.default = Simulator("default", folder)
        self.fallback = Simulator("fallback", folder)
        self.ingress = Ingress(self.default)
        self._nats_server, self._broker, self._log, self._folder = nats_server, broker, log, folder

    def replica(self, **env: str) -> Processor:
        urls = {"default": self.ingress.url, "fallback": self.fallback.url}
        return Processor(self._nats_server.url, self._folder, **urls, **{"PROCESSOR_PATIENCE_SECONDS": "0.5", **env})

    async def poll_health(self) -> None:
        """From now on replicas ask the providers for their health, and route by it."""
        await HealthBucket(self._broker).ensure(replicas=1, timeout_seconds=10)

    async def request(self, count: int = 1) -> None:
        for _ in range(count):
            await self._log.append(PaymentRequested(str(uuid.uuid4()), 1990, now_us()), timeout_seconds=10)

    async def request_together(self, count: int) -> None:
        """In one message, so that all are routed at the same moment."""
        requests = [PaymentRequested(str(uuid.uuid4()), 1990, now_us()) for _ in range(count)]
        await self._log.append_together(requests, timeout_seconds=10)

    async def events(self) -> list[Event]:
        """The whole log."""
        state = await self._broker.log_state(timeout_seconds=10)
        read: list[Event] = []
        async with LogReader(self._broker, 1) as reader, asyncio.timeout(30):
            sequence = 0
            while sequence < state.last_sequence:
                for message in await reader.batch(1_000):
                    sequence = message.sequence
                    read += [decode(one) for one in split(message.payload)]
        return read

    async def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in await self.events())

    async def until(self, kind: type[Event], count: int, *, timeout_seconds: float = 30) -> None:
        """Waits until the log holds `count` events of the kind."""

        async def has() -> bool:
            return await self.count(kind) >= count

        await eventually(has, what=f"{count} {kind.__name__}", timeout_seconds=timeout_seconds)

    async def agree(self) -> None:
        """Each charge in a provider's records is in the log once, and vice versa, late charges included."""

        async def is_idle() -> bool:
            stats = [await one.stats(self.session) for one in (self.default, self.fallback)]
            return not any(one["running"] for one in stats)

        await eventually(is_idle, what="no handler goes on")
        provider_records = {
            "default": await self.default.book(self.session),
            "fallback": await self.fallback.book(self.session),
        }
        assert not provider_records["default"].keys() & provider_records["fallback"].keys(), "charged twice"
        charged = [event for event in await self.events() if isinstance(event, PaymentProcessed)]
        assert len({event.correlation_id for event in charged}) == len(charged), "recorded twice"
        for name, book in provider_records.items():
            assert {event.correlation_id for event in charged if event.provider == name} == set(book)


@pytest.fixture
async def environment(nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path) -> AsyncIterator[Environment]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        created = Environment(nats_server, broker, log, tmp_path, session)
        with created.default, created.fallback:
            await created.default.ready(session)
            await created.fallback.ready(session)
            async with created.ingress.running():
                yield created


async def test_a_proxys_502_while_the_handler_goes_on_leaves_one_charge(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/delay", delay=4_000)
    # 502, 503, 504 or 52x at once; the lookup says 404 until the handler has charged.
    await environment.default.switch(environment.session, "faults", proxy_error_ratio=1)
    with environment.replica():
        await environment.request(5)
        await environment.until(PaymentProcessed, 5)
    await environment.agree()
    events = await environment.events()
    assert sum(isinstance(event, PaymentInDoubt) for event in events) >= 1
    doubted = {event.correlation_id for event in events if isinstance(event, PaymentInDoubt)}
    assert doubted <= set(await environment.default.book(environment.session))
    assert not doubted & {event.correlation_id for event in events if isinstance(event, PaymentReleased)}


async def test_the_answers_of_an_ingress_reject_nothing_open_the_breaker_and_are_in_the_program_log(
    environment: Environment,
) -> None:
    environment.ingress.statuses = cycle(INGRESS_STATUSES)
    with environment.replica() as replica:
        await environment.request_together(3)
        await environment.until(PaymentInDoubt, 3)
        # Its breaker is open now: what comes goes to fallback, but for the probes.
        await environment.request(40)
        await eventually(
            lambda: _has(environment.fallback, environment.session, 30), what="30 at the fallback", timeout_seconds=30
        )
        assert await environment.count(PaymentRejected) == 0
        assert await environment.default.book(environment.session) == {}
        # The ingress lets through what the provider itself answers, and every doubt ends.
        environment.ingress.statuses = None
        await environment.until(PaymentProcessed, 43, timeout_seconds=60)
        await environment.agree()
        assert await environment.count(PaymentRejected) == 0
        output = replica.output()
    assert "default: payments answered outside of its contract: status 401 (text/html" in output
    assert 0 < output.count("outside of its contract") <= OUTSIDE_LINES_MAX
    for line in (
        "attempts in doubt: status 401",
        "circuit breaker: opened",
        "circuit breaker: closed",
        "doubts ended: ",
    ):
        assert f"default: {line}" in output


async def test_an_answer_with_binary_headers_leaves_the_payment_in_doubt_as_any_other(environment: Environment) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 No\r\nServer: \xff\xfe\xc3\xa9\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with environment.replica(PAYMENT_PROCESSOR_URL_DEFAULT=f"http://127.0.0.1:{port}") as replica:
            await environment.request()
            await environment.until(PaymentInDoubt, 1)
            assert "Traceback" not in replica.output()
    (doubt,) = [event for event in await environment.events() if isinstance(event, PaymentInDoubt)]
    assert doubt.why == "status 403 (???)"


async def test_an_expired_token_rejects_nothing_and_a_new_one_settles_the_doubts(
    environment: Environment, tmp_path: Path
) -> None:
    file = tmp_path / "header"
    file.write_text("Authorization: Bearer expired\n")
    environment.ingress.credential = CREDENTIAL
    with environment.replica(PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT=str(file)):
        await environment.request(3)
        await environment.until(PaymentInDoubt, 3)
        assert await environment.count(PaymentRejected) == 0
    file.write_text(f"Authorization: {CREDENTIAL}\n")
    with environment.replica(PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT=str(file)):
        await environment.until(PaymentProcessed, 3)
    await environment.agree()
    assert len(await environment.default.book(environment.session)) == 3


async def test_a_credential_is_sent_with_every_request_to_its_provider_and_never_logged(
    environment: Environment,
) -> None:
    environment.ingress.credential = CREDENTIAL
    # An error after the charge makes it look the payment up.
    await environment.default.switch(environment.session, "faults", error_after_charge_ratio=1)
    await environment.poll_health()
    header = f"Authorization: {CREDENTIAL}"
    with environment.replica(
        PAYMENT_PROCESSOR_HEADER_DEFAULT=header,
        PROCESSOR_HEALTH_INTERVAL_SECONDS="0.5",
        # The most that a program log can have.
        LOG_FORMAT="json",
        LOG_LEVEL="DEBUG",
    ) as replica:
        await environment.request(2)
        await environment.until(PaymentProcessed, 2)

        async def is_polled() -> bool:
            return any(path == "/payments/service-health" for _, path, _ in environment.ingress.asked)

        await eventually(is_polled, what="its health is asked for")
        output = replica.output()
    asked = {(method, path) for method, path, _ in environment.ingress.asked}
    assert asked >= {("POST", "/payments"), ("GET", "/payments/service-health")}
    assert len(asked) == 4, "and the two lookups"
    assert {shown for _, _, shown in environment.ingress.asked} == {CREDENTIAL}
    assert len(await environment.default.book(environment.session)) == 2
    assert "s3cr3t" not in output
    lines = [orjson.loads(line) for line in output.splitlines()]
    assert all(set(line) <= set(documented()) for line in lines)
    calls = [line for line in lines if line.get("event") == "call_ended"]
    assert sorted(line["correlation_id"] for line in calls) == sorted(
        await environment.default.book(environment.session)
    )
    assert {(line["provider"], line["attempt"], line["outcome"]) for line in calls} == {("default", 1, "Failed")}
    assert all(0 < line["duration_seconds"] < 10 for line in calls)


async def test_a_credential_that_cannot_be_sent_is_one_line_at_the_start(environment: Environment) -> None:
    with environment.replica(PAYMENT_PROCESSOR_HEADER_FALLBACK="Bearer s3cr3t") as replica:
        assert replica.wait(10) == 1
        output = replica.output()
    assert "PAYMENT_PROCESSOR_HEADER_FALLBACK is ***: it must be one header, `Name: value`" in output
    assert "s3cr3t" not in output
    assert "Traceback" not in output


async def test_health_in_a_503_of_a_failing_provider_is_used(environment: Environment) -> None:
    await environment.poll_health()
    await environment.default.switch(environment.session, "faults", health_503_ratio=1)
    await environment.default.switch(environment.session, "configurations/failure", failure=True)
    with environment.replica() as replica:

        async def is_logged() -> bool:
            return "health of default: failing" in replica.output()

        await eventually(is_logged, what="its health is logged")


async def test_a_strict_contract_releases_nothing_after_an_error(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/failure", failure=True)
    with environment.replica(PAYMENT_PROCESSOR_CONTRACT_DEFAULT="strict"):
        await environment.request(2)
        await environment.until(PaymentInDoubt, 2)
        await environment.default.switch(environment.session, "configurations/failure", failure=False)
        await environment.until(PaymentProcessed, 2)
    await environment.agree()
    assert await environment.count(PaymentReleased) == 0
    assert len(await environment.default.book(environment.session)) == 2


async def test_the_benchmarks_injected_500_releases_at_once(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/failure", failure=True)
    with environment.replica():
        await environment.request(2)
        await environment.until(PaymentProcessed, 2)
    assert await environment.count(PaymentInDoubt) == 0
    assert len(await environment.fallback.book(environment.session)) == 2


async def _has(simulator: Simulator, session: aiohttp.ClientSession, count: int) -> bool:
    return len(await simulator.book(session)) >= count
