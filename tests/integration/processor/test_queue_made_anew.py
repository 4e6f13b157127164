"""The queue of requests recreated by another program, after real requests."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Processor, Projector, Simulator
from tollgate.contract.events import PaymentRequested
from tollgate.contract.subjects import CONSUMER, STREAM
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log

QUEUE = f"{STREAM}.{CONSUMER}"
FOREIGN: dict[str, dict[str, Any]] = {
    "later": {"deliver_policy": "by_start_sequence", "opt_start_seq": 5},
    "new": {"deliver_policy": "new"},
    "other filter": {"deliver_policy": "all", "filter_subject": "payments.rejected"},
    "not acknowledged": {"deliver_policy": "all", "ack_policy": "none"},
    "pushed": {"deliver_policy": "all", "deliver_subject": "elsewhere"},
    "given up": {"deliver_policy": "new", "max_deliver": 1},
}


async def request(broker: Broker, verb: str, question: object = None) -> dict[str, Any]:
    payload = b"" if question is None else orjson.dumps(question)
    return await broker.request(f"$JS.API.CONSUMER.{verb}.{QUEUE}", payload, timeout_seconds=5)


@pytest.mark.parametrize("kind", FOREIGN)
async def test_no_request_is_skipped_for_ever_when_another_program_created_the_queue(
    kind: str, nats_server: NatsServer, tmp_path: Path, broker: Broker, log: Log
) -> None:
    foreign = {
        "durable_name": CONSUMER,
        "name": CONSUMER,
        "filter_subject": "payments.requested",
        "ack_policy": "explicit",
        **FOREIGN[kind],
    }
    with Projector(nats_server.url, tmp_path), Simulator("default", tmp_path) as default:
        for _ in range(8):
            await log.append(PaymentRequested(str(uuid.uuid4()), 100, now_us()), timeout_seconds=5)
        made = await request(broker, "CREATE", {"stream_name": STREAM, "config": foreign})
        assert "error" not in made, made
        with Processor(nats_server.url, tmp_path, default=default.url, fallback=default.url) as processor:

            async def is_done() -> bool:
                info = await request(broker, "INFO")
                if "error" in info:
                    return False
                waits = info["num_pending"] + info["num_ack_pending"]
                return waits == 0 and info["ack_floor"]["stream_seq"] >= 8 and "max_waiting" in info["config"]

            async def all_charged() -> bool:
                url = f"{default.url}/admin/payments-summary"
                try:
                    async with (
                        aiohttp.ClientSession() as session,
                        session.get(url, headers={"X-Rinha-Token": "123"}) as response,
                    ):
                        return bool((await response.json())["totalRequests"] == 8)
                except aiohttp.ClientError:
                    return False

            await eventually(all_charged, what="all eight payments are charged", timeout_seconds=30)
            await eventually(is_done, what="all requests are done with")
            await asyncio.sleep(0.5)
            assert processor.output().count("created by another program") == 1
            assert processor.output().count("cannot be taken") == 0
            assert await all_charged()


async def test_a_queue_that_cannot_be_checked_yet_is_retried_with_growing_pauses(
    nats_server: NatsServer, tmp_path: Path, broker: Broker, log: Log
) -> None:
    """Without the projector the oldest request that has not ended is unknown."""
    foreign = {"durable_name": CONSUMER, "ack_policy": "explicit", "deliver_policy": "new"}
    await request(broker, "CREATE", {"stream_name": STREAM, "config": foreign})
    await log.append(PaymentRequested(str(uuid.uuid4()), 100, now_us()), timeout_seconds=5)
    with (
        Simulator("default", tmp_path) as default,
        Processor(nats_server.url, tmp_path, default=default.url, fallback=default.url) as processor,
    ):

        async def is_logged() -> bool:
            return "stays unused" in processor.output()

        await eventually(is_logged, what="it logs why it takes nothing")
        await asyncio.sleep(3)
        assert processor.is_running
        assert processor.output().count("stays unused") <= 4
        with Projector(nats_server.url, tmp_path):

            async def is_taken() -> bool:
                info = await request(broker, "INFO")
                return "error" not in info and bool(info["ack_floor"]["stream_seq"] >= 1)

            await eventually(is_taken, what="the request is taken", timeout_seconds=30)
