"""The real Caddy with the project's Caddyfile and real gateways: where it listens, and which gateways it uses."""

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.conditions import eventually
from tests.support.edge import Edge, listens, ports_of
from tests.support.nats_server import NatsServer
from tests.support.ports import free_port
from tests.support.services import Gateway
from tollgate.messaging.log import Log


@pytest.fixture
async def gateway(nats_server: NatsServer, tmp_path: Path, log: Log) -> AsyncIterator[Gateway]:
    async with aiohttp.ClientSession() as session:
        with Gateway(nats_server.url, tmp_path) as running:
            await running.ready(session)
            yield running


async def _is_file(path: Path) -> bool:
    return await asyncio.to_thread(path.is_file)


async def test_without_a_domain_it_serves_plain_http_on_one_port_and_does_not_name_itself(
    gateway: Gateway, tmp_path: Path
) -> None:
    with Edge(tmp_path, gateway.port) as edge:
        await listens(edge, edge.http_port)
        assert ports_of(edge) == {edge.http_port}, "neither an admin endpoint nor anything else"
        async with aiohttp.ClientSession(f"http://127.0.0.1:{edge.http_port}") as session:
            for path, status in (("/startedz", 204), ("/nothing", 404)):
                async with session.get(path) as response:
                    assert response.status == status
                    assert not {"Server", "Via"} & set(response.headers)


async def test_with_a_domain_it_serves_https_and_nothing_in_plain_text(gateway: Gateway, tmp_path: Path) -> None:
    with Edge(tmp_path, gateway.port, site="localhost") as edge:
        await listens(edge, edge.https_port)
        assert ports_of(edge) == {edge.https_port}
        url = f"https://localhost:{edge.https_port}"

        async with aiohttp.ClientSession() as session:
            # The authority is made first, then the name's own certificate.
            await eventually(lambda: _is_file(edge.root), what="the authority is there")
            trusting = ssl.create_default_context(cafile=str(edge.root))

            async def is_signed() -> bool:
                try:
                    async with session.get(f"{url}/readyz", ssl=trusting) as response:
                        return response.status == 200
                except aiohttp.ClientConnectorError:
                    return False

            await eventually(is_signed, what="the certificate is there")
            async with session.get(f"{url}/readyz", ssl=trusting) as response:
                assert not {"Server", "Via"} & set(response.headers)
            payment = {"correlationId": "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", "amount": 19.90}
            async with session.post(f"{url}/payments", json=payment, ssl=trusting) as response:
                assert response.status == 202
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"{url}/readyz")
            async with session.post(f"http://localhost:{edge.https_port}/payments", json=payment) as response:
                assert response.status == 400


async def test_a_gateway_that_has_not_read_the_log_gets_no_requests(gateway: Gateway, tmp_path: Path) -> None:
    without_a_broker = Gateway(f"nats://127.0.0.1:{free_port()}", tmp_path)
    with without_a_broker:
        await listens(without_a_broker, without_a_broker.port)
        with Edge(tmp_path, gateway.port, without_a_broker.port) as edge:
            await listens(edge, edge.http_port)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{edge.http_port}") as session:

                async def status(path: str) -> int:
                    async with session.get(path) as response:
                        return response.status

                async def other_is_out() -> bool:
                    return [await status("/startedz") for _ in range(10)] == [204] * 10

                await eventually(other_is_out, what="only the ready gateway is asked")
                for number in range(20):
                    payment = {"correlationId": str(uuid.UUID(int=number + 1)), "amount": 19.90}
                    async with session.post("/payments", json=payment) as response:
                        assert response.status == 202
