"""The edge before two gateways."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.edge import Edge, listens
from tests.support.nats_server import NatsServer
from tests.support.services import Gateway
from tollgate.messaging.log import Log


@pytest.fixture
async def gateways(nats_server: NatsServer, tmp_path: Path, log: Log) -> AsyncIterator[tuple[Gateway, Gateway]]:
    async with aiohttp.ClientSession() as session:
        with Gateway(nats_server.url, tmp_path) as one, Gateway(nats_server.url, tmp_path) as other:
            await one.ready(session)
            await other.ready(session)
            yield one, other


@pytest.fixture
async def edge(gateways: tuple[Gateway, Gateway], tmp_path: Path) -> AsyncIterator[Edge]:
    one, other = gateways
    with Edge(tmp_path, one.port, other.port) as running:
        await listens(running, running.http_port)
        yield running
