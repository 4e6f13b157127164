"""When messages are asked for, and when their events begin."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.conditions import eventually
from tests.unit.processor.charging.charging_environment import OTHER_PAYMENT
from tollgate.contract.codec import encode
from tollgate.contract.events import Event, PaymentRequested
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import Queue as BrokerQueue
from tollgate.messaging.durable_consumer import QueueState
from tollgate.messaging.pull_consumer import Delivery
from tollgate.processor.charging.handler import Done, Result
from tollgate.processor.intake import queue_intake as module
from tollgate.processor.intake.queue_intake import FULL_PULL_MIN, QueueIntake

GATHER_SECONDS = 0.2


class Queue:
    """Delivers what the test tells it to."""

    opened: "Queue"

    def __init__(
        self,
        _broker: Broker,
        _queue: BrokerQueue,
        on_delivery: Callable[[Delivery], Awaitable[None]],
        on_pull_ended: Callable[[bool], None],
    ) -> None:
        Queue.opened = self
        self.is_open = True
        self.owed = 0
        self.pulled_at: list[float] = []
        self._on_delivery = on_delivery
        self._on_pull_ended = on_pull_ended
        self._delivered = 0

    async def open(self) -> QueueState:
        return QueueState(floor=0, waiting=0)

    async def pull(self, count: int, *, expires_seconds: float, is_once: bool) -> None:
        assert expires_seconds
        assert is_once
        assert not self.owed
        self.owed = count
        self.pulled_at.append(time.monotonic())

    async def deliver(self, count: int) -> None:
        for _ in range(count):
            self.owed -= 1
            self._delivered += 1
            info = SimpleNamespace(sequence=self._delivered, deliveries=1)
            payload = encode(PaymentRequested(OTHER_PAYMENT.format(self._delivered), 5, 1))
            delivery = SimpleNamespace(
                subject="payments.requested", info=info, payload=payload, ack=_nothing, retry=_nothing
            )
            await self._on_delivery(cast("Delivery", delivery))

    def end(self) -> None:
        self.owed = 0
        self._on_pull_ended(False)


class Rule:
    """Asks for `count` messages whenever nothing is owed."""

    pull_seconds = 5.0
    gather_seconds = GATHER_SECONDS

    def __init__(self, count: int) -> None:
        self._count = count

    def poll_seconds(self, owed: int) -> float:
        del owed
        return 60.0

    def opened(self, state: QueueState, now: float) -> None:
        del state, now

    def room(self, in_hand: int, gathered: int, owed: int, now: float) -> int:
        del in_hand, gathered, now
        return 0 if owed else self._count

    def delivered(self, delivery: Delivery, events: int, now: float) -> None:
        del delivery, events, now

    def none_delivered(self) -> None:
        return


class Intake:
    """An intake that asks for `count` messages, and the moments at which their events begin."""

    def __init__(self, count: int) -> None:
        self.began_at: list[float] = []
        broker = SimpleNamespace(generation=1, is_connected=True, connected=_first_generation)
        queue = BrokerQueue("processor", "payments.requested", 100)
        self.running = asyncio.create_task(QueueIntake(cast("Broker", broker), queue, Rule(count), self._handle).run())

    async def _handle(self, _: Delivery, __: Event) -> Result:
        self.began_at.append(time.monotonic())
        return Done()

    async def pulled(self, times: int) -> Queue:
        await until(lambda: len(Queue.opened.pulled_at) == times, f"{times} pulls were sent")
        return Queue.opened


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[int], Awaitable[tuple[Intake, Queue]]]]:
    monkeypatch.setattr(module, "Deliveries", Queue)
    intakes: list[Intake] = []

    async def started(count: int) -> tuple[Intake, Queue]:
        intakes.append(Intake(count))
        await asyncio.sleep(0)
        return intakes[-1], await intakes[-1].pulled(1)

    yield started
    for intake in intakes:
        intake.running.cancel()
        await asyncio.wait([intake.running])


Start = Callable[[int], Awaitable[tuple[Intake, Queue]]]


async def test_what_one_pull_brings_begins_together_when_the_pull_ends(start: Start) -> None:
    intake, queue = await start(10)
    await queue.deliver(3)
    assert intake.began_at == []
    ended_at = time.monotonic()
    queue.end()
    await until(lambda: len(intake.began_at) == 3, "all three have begun")
    assert intake.began_at[-1] - ended_at < GATHER_SECONDS / 2


async def test_messages_gather_at_the_broker_after_others_were_taken(start: Start) -> None:
    intake, queue = await start(10)
    await queue.deliver(1)
    ended_at = time.monotonic()
    queue.end()
    await intake.pulled(2)
    assert queue.pulled_at[1] - ended_at == pytest.approx(GATHER_SECONDS, rel=0.5)


async def test_more_is_asked_for_at_once_after_a_pull_that_was_filled(start: Start) -> None:
    intake, queue = await start(FULL_PULL_MIN)
    filled_at = time.monotonic()
    await queue.deliver(FULL_PULL_MIN)
    await intake.pulled(2)
    assert queue.pulled_at[1] - filled_at < GATHER_SECONDS / 2
    assert len(intake.began_at) == FULL_PULL_MIN


async def test_a_small_pull_that_was_filled_is_followed_after_the_pause(start: Start) -> None:
    intake, queue = await start(1)
    filled_at = time.monotonic()
    await queue.deliver(1)
    await intake.pulled(2)
    assert queue.pulled_at[1] - filled_at >= GATHER_SECONDS * 0.9
    assert len(intake.began_at) == 1


async def test_events_begin_after_the_pause_if_the_end_of_their_pull_was_lost(start: Start) -> None:
    intake, queue = await start(10)
    delivered_at = time.monotonic()
    await queue.deliver(2)
    await until(lambda: len(intake.began_at) == 2, "both have begun")
    assert intake.began_at[0] - delivered_at >= GATHER_SECONDS * 0.9


async def until(condition: Callable[[], bool], what: str) -> None:
    async def is_so() -> bool:
        return condition()

    await eventually(is_so, what=what)


async def _nothing(*_: object) -> None:
    return


async def _first_generation() -> int:
    return 1
