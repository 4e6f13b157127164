"""Fixtures for every test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.nats_server import NatsServer
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A nats-server of the test's own."""
    with NatsServer(tmp_path / "nats") as server:
        await server.ready()
        yield server


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[Broker]:
    """A connection to it."""
    async with Broker(nats_server.url, name="test") as connected:
        yield connected


@pytest.fixture
async def log(broker: Broker) -> Log:
    """The stream of events on it."""
    log = Log(broker)
    await log.ensure(LogLimits())
    return log
