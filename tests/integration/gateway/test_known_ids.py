"""Gateways whose filter is full ask about every id, and are never wrong."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Projector
from tollgate.contract.batch import events_in
from tollgate.contract.events import LedgerPurged, PaymentRequested
from tollgate.contract.subjects import REQUESTED
from tollgate.gateway import dedup
from tollgate.gateway.accept import Acceptance
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.problems import Problem
from tollgate.gateway.requests import PaymentOrder
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.runtime.id_filter import IdFilter
from tollgate.runtime.tasks import end

PAYMENTS, REQUESTS = 60, 400


@asynccontextmanager
async def accepting(url: str) -> AsyncIterator[Acceptance]:
    """A gateway whose filter has one byte: it contains every id."""
    async with Broker(url, name="gateway") as broker:
        full = IdFilter(1)
        for _ in range(30):
            full.add(str(uuid.uuid4()))
        index = DedupIndex(broker, full)
        running = asyncio.ensure_future(index.run())
        try:
            await index.looked(timeout_seconds=10)
            yield Acceptance(Log(broker), ReadModel(broker), index, broker.clock, timeout_seconds=10)
        finally:
            await end(running)


async def status(gateway: Acceptance, correlation_id: str, amount_cents: int) -> HTTPStatus:
    try:
        await gateway.accept(PaymentOrder(correlation_id, amount_cents))
    except Problem as problem:
        return HTTPStatus(problem.status)
    return HTTPStatus.ACCEPTED


async def answers(broker: Broker) -> bool:
    try:
        await ReadModel(broker).known([], timeout_seconds=1)
    except ReadModelUnavailableError:
        return False
    return True


async def amounts_in_the_log(log: Log, broker: Broker) -> dict[str, int]:
    """The amount of each request. Each payment is there once."""
    amounts: dict[str, int] = {}
    deadline = asyncio.get_running_loop().time() + 30
    for sequence in range(1, (await broker.log_state(timeout_seconds=5)).last_sequence + 1):
        payload = await log.payload_at(sequence, deadline=deadline)
        if payload is not None and b"PaymentRequested" in payload:
            for event in events_in(REQUESTED, payload):  # type: ignore[union-attr]
                assert isinstance(event, PaymentRequested)
                assert event.correlation_id not in amounts, "requested twice"
                amounts[event.correlation_id] = event.amount_cents
    return amounts


async def test_a_full_filter_asks_about_each_id_and_no_answer_is_wrong(
    nats_server: NatsServer, log: Log, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few that most repeats are found through the read model.
    monkeypatch.setattr(dedup, "RECENT_MAX", 8)
    chance = random.Random(7)
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(PAYMENTS)]
    async with accepting(nats_server.url) as one, accepting(nats_server.url) as other:
        assert await status(one, ids[0], 1) == HTTPStatus.SERVICE_UNAVAILABLE, "no projector can be asked"

        async def ask(pause_seconds: float) -> tuple[str, int, HTTPStatus]:
            await asyncio.sleep(pause_seconds)
            correlation_id, amount_cents = chance.choice(ids), chance.randint(1, 2)
            return correlation_id, amount_cents, await status(chance.choice((one, other)), correlation_id, amount_cents)

        with Projector(nats_server.url, tmp_path):
            await eventually(lambda: answers(broker), what="the projector answers")
            answered = await asyncio.gather(*(ask(chance.random() * 2) for _ in range(REQUESTS)))
            amounts = await amounts_in_the_log(log, broker)
            statuses = [got for _, _, got in answered]
            for correlation_id, amount_cents, got in answered:
                if got != HTTPStatus.SERVICE_UNAVAILABLE:
                    is_equal = amounts[correlation_id] == amount_cents
                    assert got == (HTTPStatus.ACCEPTED if is_equal else HTTPStatus.CONFLICT)
            assert {HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT} <= set(statuses)
            assert statuses.count(HTTPStatus.SERVICE_UNAVAILABLE) < REQUESTS / 10

            await log.append(LedgerPurged("a test", 1), timeout_seconds=5)
            again = next(iter(amounts))
            end_of_log = (await broker.log_state(timeout_seconds=5)).last_sequence
            for gateway in (one, other):
                await gateway._dedup_index.reached(end_of_log, deadline=asyncio.get_running_loop().time() + 10)
            assert await status(one, again, 77) == HTTPStatus.ACCEPTED
            assert await status(other, again, 78) == HTTPStatus.CONFLICT
