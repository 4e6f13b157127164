"""A gateway refuses payments at its bounds, and accepts them again when there is room."""

import asyncio
import uuid
from pathlib import Path

import aiohttp
import pytest

from tests.support.nats_server import NatsServer
from tests.support.services import Gateway
from tollgate.contract.batch import split
from tollgate.gateway import accept as acceptance
from tollgate.gateway.accept import Acceptance
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.problems import Problem
from tollgate.gateway.requests import PaymentOrder
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import ReadModel
from tollgate.runtime.id_filter import IdFilter
from tollgate.runtime.tasks import end


async def pay(session: aiohttp.ClientSession, gateway: Gateway) -> aiohttp.ClientResponse:
    payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
    async with session.post(f"{gateway.url}/payments", json=payment) as response:
        await response.read()
        return response


async def test_a_full_log_is_answered_503_and_payments_are_accepted_again_when_there_is_room(
    nats_server: NatsServer, broker: Broker, tmp_path: Path
) -> None:
    log = Log(broker)
    await log.ensure(LogLimits(bytes_max=2_000))
    async with aiohttp.ClientSession() as session:
        with Gateway(nats_server.url, tmp_path) as gateway:
            await gateway.ready(session)
            answers = [await pay(session, gateway) for _ in range(20)]
            statuses = [answer.status for answer in answers]
            accepted = statuses.count(202)
            assert 0 < accepted < 20
            assert statuses == [202] * accepted + [503] * (20 - accepted)
            assert answers[-1].headers["Retry-After"] == "1"
            state = await broker.log_state(timeout_seconds=5)
            assert (state.first_sequence, state.last_sequence) == (1, accepted), "nothing is dropped to make room"
            async with session.get(f"{gateway.url}/readyz") as ready:
                assert (ready.status, (await ready.json())["detail"]) == (
                    503,
                    "the log accepts no payments: maximum bytes exceeded",
                )
            await log.ensure(LogLimits(bytes_max=200_000))
            assert (await pay(session, gateway)).status == 202
            async with session.get(f"{gateway.url}/readyz") as ready:
                assert ready.status == 200
                (warning,) = (await ready.json())["warnings"]
                assert warning.endswith("whether payments wait is unknown: the projector is away")


async def test_a_payment_beyond_those_that_may_wait_for_the_log_is_refused_at_once(
    nats_server: NatsServer, broker: Broker, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "IN_FLIGHT_MAX", 3)
    dedup_index = DedupIndex(broker, IdFilter(1 << 16))
    accepting = Acceptance(log, ReadModel(broker), dedup_index, broker.clock, timeout_seconds=20)
    following = asyncio.ensure_future(dedup_index.run())
    await dedup_index.looked(timeout_seconds=10)
    nats_server.pause()
    waiting = [asyncio.ensure_future(accepting.accept(PaymentOrder(str(uuid.uuid4()), 1))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="too many payments are waiting for the log") as refused:
        await accepting.accept(PaymentOrder(str(uuid.uuid4()), 1))
    assert refused.value.status == 503
    nats_server.resume()
    await asyncio.gather(*waiting)
    await accepting.accept(PaymentOrder(str(uuid.uuid4()), 1))
    assert await count_requests(log, broker) == 4
    await end(following)


async def count_requests(log: Log, broker: Broker) -> int:
    last = (await broker.log_state(timeout_seconds=5)).last_sequence
    deadline = asyncio.get_running_loop().time() + 5
    payloads = [await log.payload_at(sequence, deadline=deadline) for sequence in range(1, last + 1)]
    return sum(len(split(payload)) for payload in payloads if payload is not None)
