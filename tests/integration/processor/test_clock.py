"""A processor, and a gateway, whose clock is not the broker's."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.support.clocks import settable_clock
from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Gateway, Processor, Simulator
from tollgate.contract.batch import split
from tollgate.contract.codec import decode
from tollgate.contract.events import Event, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.timestamps import MICROSECONDS, now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import stretch
from tollgate.messaging.log import Log


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def events_of(broker: Broker) -> list[Event]:
    state = await broker.log_state(timeout_seconds=5)
    messages = [message async for some in stretch(broker, 1, state.last_sequence) for message in some]
    return [decode(part) for message in messages for part in split(message.payload)]


def beat_of(heartbeat: Path) -> int:
    return heartbeat.stat().st_mtime_ns


async def request(log: Log) -> str:
    correlation_id = str(uuid.uuid4())
    await log.append(PaymentRequested(correlation_id, 1990, now_us()), timeout_seconds=5)
    return correlation_id


async def test_a_processor_whose_clock_is_off_writes_no_intent_logs_that_at_once_and_continues_when_it_is_right(
    nats_server: NatsServer, broker: Broker, log: Log, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    clock, environment = settable_clock(tmp_path / "processor.clock")
    heartbeat = tmp_path / "heartbeat"

    async def is_charged(correlation_id: str) -> bool:
        return any(
            isinstance(event, PaymentProcessed) and event.correlation_id == correlation_id
            for event in await events_of(broker)
        )

    with Simulator("default", tmp_path) as default, Simulator("fallback", tmp_path) as fallback:
        await default.ready(session)
        await fallback.ready(session)
        with Processor(
            nats_server.url,
            tmp_path,
            default=default.url,
            fallback=fallback.url,
            HEARTBEAT_FILE=str(heartbeat),
            **environment,
        ) as processor:
            first = await request(log)
            await eventually(lambda: is_charged(first), what="charged while the clock is right")
            for number, (ahead_seconds, said) in enumerate(((-2.0, "behind"), (3.0, "ahead of")), 1):
                clock.set(ahead_seconds)

                def errors(said: str = said) -> int:
                    lines = processor.output().splitlines()
                    return sum(f"s {said} the broker's" in line for line in lines if " ERROR " in line)

                async def is_logged(errors: Callable[[], int] = errors) -> bool:
                    return errors() > 0

                assert await eventually(is_logged, what=f"the log has that it is {said}") < 5
                before = len(await events_of(broker))
                waiting = [await request(log) for _ in range(5)]
                beaten_at = beat_of(heartbeat)
                # Longer than a heartbeat's pause, and than any pause of a payment that was put back.
                await asyncio.sleep(5)
                assert len(await events_of(broker)) == before + len(waiting), "only requests were stored"
                assert beat_of(heartbeat) == beaten_at
                assert errors() == 1, "not repeated within a minute"
                clock.set(0.0)
                for one in waiting:
                    await eventually(partial(is_charged, one), what="charged once the clock is right again")

                async def is_well(times: int = number) -> bool:
                    return processor.output().count("clock is right again") == times

                await eventually(is_well, what="the log has that it is right again")

            async def beats() -> bool:
                return beat_of(heartbeat) > beaten_at

            await eventually(beats, what="the heartbeat goes on")
        routed = [event for event in await events_of(broker) if isinstance(event, PaymentRouted)]
        assert len(routed) == len({event.correlation_id for event in routed}) == 11, "one intent for each payment"


async def test_a_processor_that_starts_with_a_wrong_clock_writes_no_void_intent(
    nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path
) -> None:
    clock, environment = settable_clock(tmp_path / "processor.clock")
    clock.set(-2.0)
    await request(log)
    nowhere = "http://127.0.0.1:9"
    with Processor(nats_server.url, tmp_path, default=nowhere, fallback=nowhere, **environment) as processor:

        async def is_logged() -> bool:
            return "nothing is charged until it is right again" in processor.output()

        await eventually(is_logged, what="it is logged")
        await asyncio.sleep(2)
        assert len(await events_of(broker)) == 1
        assert processor.is_running


async def test_a_gateway_whose_clock_is_off_stamps_by_the_brokers_clock(
    nats_server: NatsServer, broker: Broker, log: Log, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    clock, environment = settable_clock(tmp_path / "gateway.clock")
    with Gateway(nats_server.url, tmp_path, **environment) as gateway:
        await gateway.ready(session)
        for ahead_seconds in (30.0, -30.0, 0.0):
            clock.set(ahead_seconds)
            order = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
            before_us = now_us()
            async with session.post(f"{gateway.url}/payments", json=order) as answer:
                assert answer.status == 202
            requested = (await events_of(broker))[-1]
            assert isinstance(requested, PaymentRequested)
            slack_us = MICROSECONDS // 10
            assert before_us - slack_us <= requested.accepted_at_us <= now_us() + slack_us

        async def is_logged() -> bool:
            return "the broker's" in gateway.output()

        clock.set(30.0)
        await eventually(is_logged, what="its log has how far its clock is off")
