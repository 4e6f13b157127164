"""A gateway detects that the log went back or is damaged, and accepts no payment on a stale index."""

import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.support.broken_log import copy_of, cut_in_half, put_back
from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Gateway, Projector
from tollgate.contract.events import PaymentRequested
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def gateway(
    nats_server: NatsServer, log: Log, tmp_path: Path, session: aiohttp.ClientSession
) -> AsyncIterator[Gateway]:
    with Projector(nats_server.url, tmp_path), Gateway(nats_server.url, tmp_path) as running:
        await running.ready(session)
        yield running


async def pay(session: aiohttp.ClientSession, gateway: Gateway, correlation_id: str) -> tuple[int, str]:
    async with session.post(
        f"{gateway.url}/payments", json={"correlationId": correlation_id, "amount": 10}
    ) as response:
        return response.status, await response.text()


async def readiness(session: aiohttp.ClientSession, gateway: Gateway) -> tuple[int, str]:
    async with session.get(f"{gateway.url}/readyz") as response:
        return response.status, await response.text()


async def ended(gateway: Gateway) -> bool:
    return not gateway.is_running


async def kept(session: aiohttp.ClientSession, gateway: Gateway, nats_server: NatsServer) -> tuple[Path, str]:
    """Pays, keeps a copy of the broker's folder, and pays once more: the copy, and the payment that it lacks."""
    assert await pay(session, gateway, str(uuid.uuid4())) == (202, "")
    nats_server.stop()
    copy = copy_of(nats_server, "older")
    nats_server.start()
    await nats_server.ready()
    await gateway.ready(session)
    lost = str(uuid.uuid4())
    assert await pay(session, gateway, lost) == (202, "")
    return copy, lost


async def test_a_log_that_went_back_ends_the_gateway_and_a_lost_payment_is_a_new_one(
    nats_server: NatsServer, broker: Broker, gateway: Gateway, session: aiohttp.ClientSession
) -> None:
    copy, lost = await kept(session, gateway, nats_server)
    nats_server.kill()
    put_back(nats_server, copy)
    nats_server.start()
    await eventually(lambda: ended(gateway), what="the gateway begins anew")
    assert gateway.output().count("the log went back from 2 to 1; starting again") == 1
    gateway.start()
    await gateway.ready(session)
    assert await pay(session, gateway, lost) == (202, "")
    state = await broker.log_state(timeout_seconds=5)
    assert state.last_sequence == 2


async def test_a_log_that_went_back_and_grew_beyond_its_old_end_is_noticed_before_a_payment_is_answered(
    nats_server: NatsServer, broker: Broker, log: Log, gateway: Gateway, session: aiohttp.ClientSession
) -> None:
    copy, lost = await kept(session, gateway, nats_server)
    # At once: the gateway compares what it stored, even if it has not read it yet.
    gateway.pause()
    nats_server.kill()
    put_back(nats_server, copy)
    nats_server.start()
    for _ in range(3):
        await log.append(PaymentRequested(str(uuid.uuid4()), 1, 1), timeout_seconds=10)
    gateway.resume()
    with suppress(aiohttp.ClientError):
        assert (await pay(session, gateway, lost))[0] == 503
    await eventually(lambda: ended(gateway), what="the gateway begins anew")
    assert "the log went back before 2, and has grown since" in gateway.output()
    gateway.start()
    await gateway.ready(session)
    assert await pay(session, gateway, lost) == (202, "")
    assert (await broker.log_state(timeout_seconds=5)).last_sequence == 5


async def test_on_a_damaged_log_nothing_is_accepted_until_an_operator_says_how_much_may_be_missing(
    nats_server: NatsServer, broker: Broker, gateway: Gateway, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    for _ in range(10):
        assert await pay(session, gateway, str(uuid.uuid4())) == (202, "")
    nats_server.stop()
    cut_in_half(nats_server)
    nats_server.start()
    await nats_server.ready()
    missing = (await broker.log_state(timeout_seconds=5)).missing
    assert missing > 1
    said = f"the log is damaged: {missing} messages between 1 and 10 are missing"

    async def says_so() -> bool:
        status, text = await readiness(session, gateway)
        return status == 503 and said in text

    await eventually(says_so, what="/readyz reports it")
    status, text = await pay(session, gateway, str(uuid.uuid4()))
    assert (status, said in text) == (503, True)
    assert gateway.output().count(f"{said} (docs/how-to/damaged-log.md)") == 1
    assert gateway.is_running
    for accepted, is_enough in ((missing - 1, False), (missing, True)):
        with Gateway(nats_server.url, tmp_path, LOG_MISSING_ACCEPTED=str(accepted)) as other:
            if is_enough:
                await other.ready(session)
                assert await pay(session, other, str(uuid.uuid4())) == (202, "")
            else:
                await eventually(partial(answers, session, other), what="it listens")
                assert (await readiness(session, other))[0] == 503


async def answers(session: aiohttp.ClientSession, gateway: Gateway) -> bool:
    try:
        return said_damaged(await readiness(session, gateway))
    except aiohttp.ClientError:
        return False


def said_damaged(answer: tuple[int, str]) -> bool:
    return answer[0] == 503 and "the log is damaged" in answer[1]
