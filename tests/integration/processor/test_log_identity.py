"""A processor charges nothing from a log that is not the one that it has read, or that has lost messages."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from tests.support.broken_log import copy_of, cut_in_half, put_back
from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Processor, Projector, Simulator
from tollgate.contract.events import PaymentRequested
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log


class Environment:
    def __init__(self, session: aiohttp.ClientSession, log: Log, simulator: Simulator, processor: Processor) -> None:
        self._session = session
        self._log = log
        self._simulator = simulator
        self.processor = processor

    async def pay(self, count: int) -> None:
        """Payments, and their charges."""
        charges = await self.charges()
        for _ in range(count):
            await self._log.append(PaymentRequested(str(uuid4()), 5, now_us()), timeout_seconds=20)
        await self.charged(charges + count)

    async def charges(self) -> int:
        return len(await self._simulator.book(self._session))

    async def charged(self, count: int) -> None:
        async def are_there() -> bool:
            return await self.charges() == count

        await eventually(are_there, what=f"{count} charges", timeout_seconds=30)


@pytest.fixture
async def environment(nats_server: NatsServer, tmp_path: Path, log: Log) -> AsyncIterator[Environment]:
    async with aiohttp.ClientSession() as session:
        with Projector(nats_server.url, tmp_path), Simulator("default", tmp_path) as simulator:
            await simulator.ready(session)
            processor = Processor(nats_server.url, tmp_path, default=simulator.url, fallback=simulator.url)
            with processor:
                yield Environment(session, log, simulator, processor)


@pytest.mark.parametrize("grows", [False, True])
async def test_a_processor_ends_when_the_log_went_back_and_charges_new_payments_after_its_restart(
    nats_server: NatsServer, broker: Broker, log: Log, environment: Environment, *, grows: bool
) -> None:
    await environment.pay(2)
    nats_server.stop()
    copy = copy_of(nats_server, "older")
    nats_server.start()
    await nats_server.ready()
    await environment.pay(2)
    environment.processor.pause()
    nats_server.kill()
    put_back(nats_server, copy)
    nats_server.start()
    if grows:
        for _ in range(20):
            await log.append(PaymentRequested(str(uuid4()), 5, now_us()), timeout_seconds=20)
    environment.processor.resume()
    assert await asyncio.to_thread(environment.processor.wait, 30) == 1
    assert environment.processor.output().count("the log went back") == 1
    environment.processor.start()
    if grows:
        await environment.charged(4 + 20)
    else:
        await environment.pay(3)


async def test_nothing_is_charged_from_a_damaged_log(
    nats_server: NatsServer, broker: Broker, log: Log, environment: Environment
) -> None:
    await environment.pay(5)
    nats_server.stop()
    cut_in_half(nats_server)
    nats_server.start()

    async def is_logged() -> bool:
        return "the log is damaged" in environment.processor.output()

    await eventually(is_logged, what="the processor logs it", timeout_seconds=30)
    appended = await log.append(PaymentRequested(str(uuid4()), 5, now_us()), timeout_seconds=20)

    async def is_cause_logged() -> bool:
        return "no payment has ended" in environment.processor.output()

    # It looks at what waits longer than 10 s.
    await eventually(is_cause_logged, what="the processor logs why it waits", timeout_seconds=40)
    assert await environment.charges() == 5
    assert (await broker.log_state(timeout_seconds=5)).last_sequence == appended.sequence
    assert environment.processor.is_running
