"""Brokers that are cut off from the others: what they say of the log is not believed, and no reading ends there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from qa.chaos.proxy import Link, Mode, Server
from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.ports import free_port
from tests.support.programs import Program
from tollgate.contract.events import PaymentRequested
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.log_reader import LogReader
from tollgate.runtime.errors import BrokerUnavailableError

NAMES = ("one", "two", "three")
CONFIGURATION = """
server_name: {name}
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", sync_interval: always }}
cluster {{
  name: test
  listen: "127.0.0.1:{cluster_port}"
  no_advertise: true
  advertise: "127.0.0.1:1"
  routes: [{routes}]
}}
"""
ELECTION_SECONDS_MAX = 20


class Cluster:
    """Three brokers without users. Each reaches each other by a link of its own."""

    def __init__(self, folder: Path) -> None:
        self._ports = {name: free_port() for name in NAMES}
        inner = {name: free_port() for name in NAMES}
        self._links = {
            (one, other): Link(f"{one}-{other}", free_port(), Server(inner[other]))
            for one in NAMES
            for other in NAMES
            if one != other
        }
        self.programs = [self._program(folder / name, name, inner[name]) for name in NAMES]

    def _program(self, folder: Path, name: str, cluster_port: int) -> Program:
        folder.mkdir()
        links = [link for (one, _), link in self._links.items() if one == name]
        routes = ", ".join(f'"nats-route://127.0.0.1:{link.port}"' for link in links)
        path = folder / "nats.conf"
        ports = {"port": self._ports[name], "cluster_port": cluster_port}
        path.write_text(CONFIGURATION.format(name=name, store=folder / "store", routes=routes, **ports))
        return Program([str(BIN / "nats-server"), "-c", str(path)], log=folder / "nats.log")

    def url(self, *names: str) -> str:
        return ",".join(f"nats://127.0.0.1:{self._ports[name]}" for name in names)

    async def open(self) -> None:
        for link in self._links.values():
            await link.open()

    async def close(self) -> None:
        for link in self._links.values():
            await link.close()

    async def cut_off(self, name: str, mode: Mode = Mode.REFUSE) -> None:
        for ends, link in self._links.items():
            if name in ends:
                await link.set(mode)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """With an empty log on all three."""
    made = Cluster(tmp_path)
    async with AsyncExitStack() as stack:
        await made.open()
        stack.push_async_callback(made.close)
        for program in made.programs:
            stack.enter_context(program)
        async with Broker(made.url(*NAMES), name="test") as broker:
            await eventually(lambda: _created(broker), what="the log is on three brokers", timeout_seconds=30)
        yield made


async def _created(broker: Broker) -> bool:
    try:
        await Log(broker).ensure(LogLimits(replicas=3), timeout_seconds=5)
        await broker.log_state(timeout_seconds=1)
    except Exception:  # noqa: BLE001 - until the brokers know each other
        return False
    return True


async def append(broker: Broker, events: int) -> None:
    for _ in range(events):
        await Log(broker).append(PaymentRequested(str(uuid4()), 1, 1), timeout_seconds=ELECTION_SECONDS_MAX)


async def leader(broker: Broker) -> str:
    info = await broker.request("$JS.API.STREAM.INFO.PAYMENTS", b"", timeout_seconds=5)
    return str(info["cluster"]["leader"])


async def test_the_state_of_the_log_is_not_taken_from_a_leader_that_is_cut_off(cluster: Cluster) -> None:
    async with Broker(cluster.url(*NAMES), name="test") as broker:
        old = await leader(broker)
    others = [name for name in NAMES if name != old]
    async with Broker(cluster.url(old), name="test") as cut_off, Broker(cluster.url(*others), name="test") as broker:
        await append(broker, 3)
        assert (await cut_off.log_state(timeout_seconds=5)).last_sequence == 3
        await cluster.cut_off(old)
        # Stored as soon as the others have elected another leader.
        await append(broker, 1)
        assert (await broker.log_state(timeout_seconds=10)).last_sequence == 4
        with pytest.raises(BrokerUnavailableError):
            await cut_off.log_state(timeout_seconds=1)
        await cluster.cut_off(old, Mode.PASS)
        assert (await cut_off.log_state(timeout_seconds=30)).last_sequence == 4


async def test_a_reading_does_not_end_where_its_broker_has_nothing_more(cluster: Cluster) -> None:
    async with Broker(cluster.url(*NAMES), name="test") as broker:
        leading = await leader(broker)
    lagging = next(name for name in NAMES if name != leading)
    others = [name for name in NAMES if name != lagging]
    async with (
        Broker(cluster.url(lagging), name="test") as reading,
        Broker(cluster.url(*others), name="test") as broker,
    ):
        await append(broker, 2)
        async with reader_on(lagging, reading) as reader:
            assert await _count(reader) == 1
            await cluster.cut_off(lagging)
            await append(broker, 2)
            rest = asyncio.ensure_future(_count(reader))
            done, _ = await asyncio.wait((rest,), timeout=3.0)
            assert not done
            await cluster.cut_off(lagging, Mode.PASS)
            assert await asyncio.wait_for(rest, 30) == 2


async def test_a_program_whose_broker_is_cut_off_connects_to_another(cluster: Cluster) -> None:
    async with Broker(cluster.url(*NAMES), name="test") as broker:
        await append(broker, 1)
        url = broker.client.connected_url
        assert url is not None
        (own,) = [name for name in NAMES if cluster.url(name).endswith(f":{url.port}")]
        await cluster.cut_off(own)

        async def is_back() -> bool:
            try:
                return (await broker.log_state(timeout_seconds=1)).last_sequence == 1
            except BrokerUnavailableError:
                return False

        async def is_away() -> bool:
            return not await is_back()

        await eventually(is_away, what="the log's end is not known")
        await eventually(is_back, what="the log's end is known again", timeout_seconds=60)
        await append(broker, 1)


@asynccontextmanager
async def reader_on(name: str, broker: Broker) -> AsyncIterator[LogReader]:
    """A reader whose consumer is on that broker; the first message is read."""
    for _ in range(40):
        async with LogReader(broker, 1) as reader:
            await reader.batch(1)
            if await only_consumer_is_on(name, broker):
                yield reader
                return
    raise AssertionError(f"no consumer was placed on {name}")


async def only_consumer_is_on(name: str, broker: Broker) -> bool:
    """Whether it is; waits until earlier consumers are gone."""
    leaders: list[str] = []

    async def is_alone() -> bool:
        listed = await broker.request("$JS.API.CONSUMER.LIST.PAYMENTS", b"", timeout_seconds=5)
        leaders[:] = [one["cluster"]["leader"] for one in listed["consumers"]]
        return len(leaders) == 1

    await eventually(is_alone, what="there is one consumer")
    return leaders == [name]


async def _count(reader: LogReader) -> int:
    return sum([len(messages) async for messages in reader.to_the_end(100)])
