"""Real replicas, broker and simulators: one call in an interval over all replicas, also under faults."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Processor, Simulator
from tollgate.messaging.connection import Broker
from tollgate.messaging.health_bucket import Entry, HealthBucket
from tollgate.messaging.log import Log
from tollgate.processor.health.lease import MARGIN_SECONDS, Pace
from tollgate.processor.health.record import Record, decode_record

SHORT_INTERVAL_SECONDS = 0.3
"""The interval of the tests that run by default; the simulators allow one call in it."""
HOLDS = "this replica now asks"
LOST = "this replica no longer asks"
FAILING = "health of default: failing"
WELL = "health of default: good"
IN_TROUBLE = "health is not polled"


class Fleet:
    """Three replicas and both providers."""

    def __init__(self, nats_server: NatsServer, broker: Broker, folder: Path, interval_seconds: float) -> None:
        self.nats_server = nats_server
        self.bucket = HealthBucket(broker)
        self.pace = Pace(interval_seconds)
        self.default, self.fallback = (
            Simulator(name, folder, SIMULATOR_HEALTH_INTERVAL_SECONDS=str(interval_seconds))
            for name in ("default", "fallback")
        )
        self.replicas = [
            Processor(
                nats_server.url,
                folder,
                default=self.default.url,
                fallback=self.fallback.url,
                name=name,
                PROCESSOR_HEALTH_INTERVAL_SECONDS=str(interval_seconds),
            )
            for name in "123"
        ]
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    @property
    def takeover_seconds(self) -> float:
        """A bound for what follows a takeover: its longest time, and a margin that a busy machine does not use up."""
        return self.pace.takeover_seconds(Record("anybody", 1)) + 15

    async def record(self) -> Record | None:
        entry = await self.bucket.read(timeout_seconds=5)
        return None if entry is None else decode_record(entry.payload)

    async def holder(self) -> Processor:
        """The replica that holds the lease now, between two rounds."""
        found: list[Processor] = []

        async def is_found() -> bool:
            record = await self.record()
            found[:] = [one for one in self.replicas if record is not None and f"-{one.pid}-" in record.holder]
            return bool(found) and record is not None and record.is_finished

        await eventually(is_found, what="a replica holds the lease")
        return found[0]

    async def calls(self) -> list[int]:
        """Health calls answered so far, by either provider. Asserts that none was refused."""
        stats = [await simulator.stats(self.session) for simulator in (self.default, self.fallback)]
        assert [one["health_refused"] for one in stats] == [0, 0]
        return [one["health_calls"] for one in stats]

    async def polled(self, rounds: int, *, timeout_seconds: float) -> float:
        """Waits until both providers were asked `rounds` times more; returns the seconds that took."""
        before = await self.calls()

        async def is_polled() -> bool:
            return all(now >= then + rounds for now, then in zip(await self.calls(), before, strict=True))

        return await eventually(is_polled, what=f"{rounds} rounds", timeout_seconds=timeout_seconds)

    async def taken_over_from(self, old: Processor) -> Processor:
        async def is_taken() -> bool:
            record = await self.record()
            return record is not None and f"-{old.pid}-" not in record.holder

        await eventually(is_taken, what="another asks", timeout_seconds=self.takeover_seconds)
        return await self.holder()

    async def logged(self, text: str, replicas: list[Processor]) -> bool:
        return all(text in replica.output() for replica in replicas)


@asynccontextmanager
async def fleet_of(
    nats_server: NatsServer, broker: Broker, folder: Path, interval_seconds: float
) -> AsyncIterator[Fleet]:
    fleet = Fleet(nats_server, broker, folder, interval_seconds)
    await fleet.bucket.ensure(replicas=1, timeout_seconds=10)
    async with AsyncExitStack() as running:
        await running.enter_async_context(fleet.session)
        for program in (fleet.default, fleet.fallback):
            running.enter_context(program)
            await program.ready(fleet.session)
        for replica in fleet.replicas:
            running.enter_context(replica)
        yield fleet


async def learns_of_a_change(fleet: Fleet) -> float:
    """Makes default fail: all replicas have that a second after the next poll. Returns the seconds it took."""
    await fleet.default.switch(fleet.session, "configurations/failure", failure=True)
    await fleet.polled(1, timeout_seconds=fleet.takeover_seconds)
    return await eventually(
        lambda: fleet.logged(FAILING, fleet.replicas), what="all have learned of the change", timeout_seconds=1
    )


async def survives_its_holders(fleet: Fleet, *, rounds: int) -> None:
    """Kills the holder, and pauses the next one for a while: calls go on, and none is refused."""
    first = await fleet.holder()
    known = first.output().count(FAILING)
    first.kill()
    second = await fleet.taken_over_from(first)
    first.start()
    second.pause()
    await fleet.taken_over_from(second)
    second.resume()
    await fleet.polled(rounds, timeout_seconds=rounds * fleet.takeover_seconds)
    assert HOLDS in second.output()
    await eventually(lambda: fleet.logged(LOST, [second]), what="the stopped one has learned that another asks now")

    async def is_logged_by_the_late() -> bool:
        return first.output().count(FAILING) == known + 1

    await eventually(is_logged_by_the_late, what="the replica that was started later knows the newest answer")


async def rests_without_the_broker(fleet: Fleet) -> None:
    """Kills the broker and starts it again: no replica asks meanwhile, and each logs that once."""
    warned = [replica.output().count(IN_TROUBLE) for replica in fleet.replicas]
    fleet.nats_server.kill()
    before = await fleet.calls()
    ended_at = time.monotonic() + 4 * fleet.pace.interval_seconds
    while time.monotonic() < ended_at:
        # A round may have been written just before the broker was killed.
        assert all(now <= then + 1 for now, then in zip(await fleet.calls(), before, strict=True))
        await asyncio.sleep(0.05)
    fleet.nats_server.start()
    await fleet.polled(1, timeout_seconds=fleet.takeover_seconds)
    for replica, count in zip(fleet.replicas, warned, strict=True):
        assert replica.is_running
        assert replica.output().count(IN_TROUBLE) <= count + 1


async def test_one_replica_polls_for_all_when_any_process_is_killed_or_paused(
    nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path
) -> None:
    async with fleet_of(nats_server, broker, tmp_path, SHORT_INTERVAL_SECONDS) as fleet:
        await eventually(lambda: fleet.logged(WELL, fleet.replicas), what="each replica has learned of the health")
        await learns_of_a_change(fleet)
        await survives_its_holders(fleet, rounds=2)
        await rests_without_the_broker(fleet)


@pytest.mark.soak
async def test_at_the_interval_of_the_real_processors(
    nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path
) -> None:
    """About a minute, with the simulators' own interval of 5 s."""
    async with fleet_of(nats_server, broker, tmp_path, 5.0) as fleet:
        await fleet.holder()
        rounds = 4
        seconds = await fleet.polled(rounds, timeout_seconds=rounds * 7)
        print(f"{rounds} rounds in {seconds:.1f} s, none refused")
        assert seconds < rounds * (5 + MARGIN_SECONDS + 0.5)
        print(f"after a change was polled, all replicas knew it within {await learns_of_a_change(fleet):.2f} s")
        began = time.monotonic()
        await survives_its_holders(fleet, rounds=2)
        print(f"a killed and a stopped holder were followed, in {time.monotonic() - began:.1f} s; none refused")
        await rests_without_the_broker(fleet)
        print(f"calls answered: {await fleet.calls()}")


@pytest.mark.soak
async def test_a_holder_that_is_paused_around_its_calls_makes_none_too_many(
    nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path
) -> None:
    async with fleet_of(nats_server, broker, tmp_path, SHORT_INTERVAL_SECONDS) as fleet:
        stopper = Stopper(fleet)
        await fleet.bucket.subscribe(stopper.on_change)
        for _ in range(6):
            stopped = await stopper.stop_the_next()
            await fleet.taken_over_from(stopped)
            await fleet.polled(1, timeout_seconds=fleet.takeover_seconds)
            stopped.resume()
            await fleet.polled(2, timeout_seconds=2 * fleet.takeover_seconds)


@pytest.mark.soak
async def test_a_round_begun_by_a_paused_replica_makes_no_call_after_it_resumes(
    nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path
) -> None:
    """The moment that a lease alone does not cover: the round is begun, and the call not yet made."""
    async with fleet_of(nats_server, broker, tmp_path, SHORT_INTERVAL_SECONDS) as fleet:
        for _ in range(3):
            holder = await fleet.holder()
            others = [replica for replica in fleet.replicas if replica is not holder]
            for paused in (*others, nats_server):
                paused.pause()
            # The holder's writing waits in the paused broker's socket by now.
            await asyncio.sleep(fleet.pace.rest_seconds + 0.25)
            holder.pause()
            nats_server.resume()

            async def is_taken(holder: Processor = holder) -> bool:
                record = await fleet.record()
                return record is not None and f"-{holder.pid}-" in record.holder and not record.answers

            await eventually(is_taken, what="the turn is taken")
            for other in others:
                other.resume()
            await fleet.taken_over_from(holder)
            begun = await fleet.record()

            async def calls_again(begun: Record | None = begun) -> bool:
                return await fleet.record() != begun

            await eventually(calls_again, what="the successor asks again")
            # In the middle of the interval: a call of its own would be refused.
            holder.resume()
            await fleet.polled(2, timeout_seconds=2 * fleet.takeover_seconds)


class Stopper:
    """Pauses the replica that begins a round, as soon as its record is written."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._waiting: asyncio.Future[Processor] | None = None

    async def stop_the_next(self) -> Processor:
        """The replica that was paused."""
        self._waiting = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(self._fleet.takeover_seconds):
            return await self._waiting

    async def on_change(self, entry: Entry) -> None:
        record = decode_record(entry.payload)
        for replica in self._fleet.replicas:
            is_beginning = not record.answers and f"-{replica.pid}-" in record.holder
            if is_beginning and self._waiting is not None and not self._waiting.done():
                replica.pause()
                self._waiting.set_result(replica)
