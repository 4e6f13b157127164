"""A broker with TLS, from the prepared block in nats.conf, and services that require it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.authority import Authority, make_authority
from tests.support.nats_server import GuardedNatsServer, with_block
from tests.support.ports import free_port
from tests.support.services import Gateway, Projector
from tollgate.messaging.connection import Broker
from tollgate.runtime.errors import FatalError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "authority")


@pytest.fixture
async def guarded(tmp_path: Path, authority: Authority) -> AsyncIterator[GuardedNatsServer]:
    """A broker that speaks TLS only."""
    environment = {"NATS_TLS_CERT": authority.certificate, "NATS_TLS_KEY": authority.key}
    with GuardedNatsServer(tmp_path / "nats", config=with_block("tls", tmp_path), environment=environment) as server:
        await server.ready()
        yield server


def over_tls(url: str) -> str:
    return url.replace("nats://", "tls://")


async def pay(session: aiohttp.ClientSession, gateway: Gateway) -> int:
    payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
    async with session.post(f"{gateway.url}/payments", json=payment) as response:
        return response.status


async def test_services_reach_a_broker_with_tls(
    guarded: GuardedNatsServer, authority: Authority, tmp_path: Path
) -> None:
    trust = {"NATS_CA_FILE": authority.ca}
    async with aiohttp.ClientSession() as session:
        with (
            Projector(over_tls(guarded.url("projector")), tmp_path, **trust),
            Gateway(over_tls(guarded.url("gateway")), tmp_path, **trust) as gateway,
        ):
            await gateway.ready(session)
            assert await pay(session, gateway) == 202


async def test_a_broker_of_an_authority_that_is_not_named_is_not_trusted(guarded: GuardedNatsServer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5), Broker(over_tls(guarded.url("gateway")), name="test"):
            pass


async def test_no_password_goes_to_a_broker_that_does_without_tls_though_it_was_asked_for() -> None:
    told = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1024,"auth_required":true}\r\n')
        while heard := await reader.read(1_024):
            told.extend(heard)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", free_port())
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), Broker(f"tls://gateway:secret@127.0.0.1:{port}", name="test"):
                pass
    assert told == b""


async def test_an_authority_that_cannot_be_read_is_one_clear_line() -> None:
    with pytest.raises(FatalError, match=r"NATS_CA_FILE /nowhere\.pem cannot be used"):
        Broker("tls://localhost", name="test", ca_file="/nowhere.pem")
