"""Three brokers from the prepared block of nats.conf, and services that connect to all of them."""

import asyncio
import sys
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.authority import make_authority
from tests.support.conditions import eventually
from tests.support.nats_server import GuardedNatsServer, with_block
from tests.support.ports import free_port
from tests.support.services import Gateway, Projector
from tollgate.contract.events import PaymentRequested
from tollgate.contract.subjects import STREAM
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import stretch
from tollgate.messaging.validity import valid_events

REPLICAS = 3
AT_ONCE = 25
"""Payments that are each requested several times at once."""


async def pay(session: aiohttp.ClientSession, gateway: Gateway, correlation_id: str = "") -> int:
    payment = {"correlationId": correlation_id or str(uuid.uuid4()), "amount": 19.90}
    async with session.post(f"{gateway.url}/payments", json=payment) as response:
        return response.status


async def requested(broker: Broker) -> list[str]:
    """The ids of all requests in the log, in its order."""
    return [
        event.correlation_id
        async for messages in stretch(broker, 1, sys.maxsize)
        for message in messages
        for event in valid_events(message.sequence, message.subject, message.payload) or ()
        if isinstance(event, PaymentRequested)
    ]


async def test_the_log_is_on_three_brokers_and_goes_on_without_one(tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "authority")
    config = with_block("cluster", tmp_path)
    ports = [free_port() for _ in range(REPLICAS)]
    routes = ", ".join(f'"nats-route://localhost:{port}"' for port in ports)
    servers = {
        f"nats-{number}": GuardedNatsServer(
            tmp_path / f"nats-{number}",
            config=config,
            arguments=("--server_name", f"nats-{number}"),
            environment={
                "NATS_CLUSTER_CERT": authority.certificate,
                "NATS_CLUSTER_KEY": authority.key,
                "NATS_CLUSTER_CA": authority.ca,
                "NATS_CLUSTER_LISTEN": f'"127.0.0.1:{port}"',
                "NATS_CLUSTER_ROUTES": f"[{routes}]",
            },
        )
        for number, port in enumerate(ports, start=1)
    }

    def url(user: str) -> str:
        return ",".join(server.url(user) for server in servers.values())

    async with AsyncExitStack() as stack:
        for server in servers.values():
            stack.enter_context(server)
        stack.enter_context(Projector(url("projector"), tmp_path, LOG_REPLICAS=str(REPLICAS)))
        gateway = stack.enter_context(Gateway(url("gateway"), tmp_path, GATEWAY_ACCEPT_TIMEOUT_SECONDS="20"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        operator = await stack.enter_async_context(Broker(url("operator"), name="test"))

        async def log_info() -> dict[str, Any]:
            return await operator.request(f"$JS.API.STREAM.INFO.{STREAM}", b"", timeout_seconds=20)

        async def is_whole() -> bool:
            others = (await log_info()).get("cluster", {}).get("replicas", [])
            return len(others) == REPLICAS - 1 and all(one["current"] and not one.get("offline") for one in others)

        await eventually(is_whole, what="the log is on three brokers", timeout_seconds=30)
        await gateway.ready(session)
        assert await pay(session, gateway) == 202
        leader = (await log_info())["cluster"]["leader"]
        servers[leader].kill()
        assert await pay(session, gateway) == 202
        servers[leader].start()
        await eventually(is_whole, what="the third broker has caught up", timeout_seconds=30)

        assert len(await requested(operator)) == 2

        # An id that is being stored is none that the log knows already, and the broker refuses it meanwhile.
        ids = [str(uuid.uuid4()) for _ in range(AT_ONCE)]
        statuses = await asyncio.gather(*(pay(session, gateway, one) for one in ids for _ in range(4)))
        assert set(statuses) == {202}
        stored = await requested(operator)
        assert len(stored) == 2 + AT_ONCE
        assert set(ids) <= set(stored)
        assert "the log refuses payments" not in gateway.output()
