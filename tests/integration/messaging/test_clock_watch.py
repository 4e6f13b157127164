"""A service measures its clock's offset from a real broker's answers."""

import asyncio
import logging

import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tollgate.messaging import clock_watch as module
from tollgate.messaging.clock_watch import ClockWatch
from tollgate.messaging.connection import TRANSIENT_ERRORS, Broker
from tollgate.messaging.log import Log


@pytest.fixture
def watch(broker: Broker, log: Log, monkeypatch: pytest.MonkeyPatch) -> ClockWatch:
    assert log
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    return ClockWatch(broker, consequence="it is warned of", too_far="it stops")


async def test_a_clock_that_fits_is_measured_right_without_a_line(
    watch: ClockWatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tollgate.messaging.clock_watch")
    assert watch.offset is None
    assert watch.is_right, "nothing is known against it"
    watching = asyncio.ensure_future(watch.run())

    async def is_measured() -> bool:
        return watch.offset is not None

    await eventually(is_measured, what="measured")
    offset = watch.offset
    assert offset is not None
    assert offset.low_us <= 0 <= offset.high_us, "the broker's clock is this machine's"
    assert watch.is_right
    assert not caplog.records
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_suspicion_lasts_until_the_broker_has_been_asked(
    watch: ClockWatch, broker: Broker, nats_server: NatsServer
) -> None:
    watching = asyncio.ensure_future(watch.run())

    async def is_measured() -> bool:
        return watch.offset is not None

    await eventually(is_measured, what="measured")
    nats_server.pause()

    async def is_silent() -> bool:
        try:
            await broker.ask("$JS.API.INFO", b"", timeout_seconds=0.2)
        except TRANSIENT_ERRORS:
            return True
        return False

    await eventually(is_silent, what="the broker has stopped")
    watch.suspect()
    await asyncio.sleep(0.3)
    assert not watch.is_right, "no answer has come"
    nats_server.resume()

    async def is_right() -> bool:
        return watch.is_right

    await eventually(is_right, what="the suspicion was unfounded")
    watching.cancel()
    await asyncio.wait([watching])
