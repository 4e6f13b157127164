"""How many payments a replica takes in hand."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.conditions import eventually
from tests.unit.processor.charging.charging_environment import OTHER_PAYMENT, RightClock
from tollgate.contract.codec import encode
from tollgate.contract.events import PaymentRequested
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import Queue as BrokerQueue
from tollgate.messaging.durable_consumer import QueueState
from tollgate.messaging.pull_consumer import Delivery
from tollgate.processor.charging.handler import Done, PaymentHandler, Work
from tollgate.processor.intake import queue_intake as module
from tollgate.processor.intake.requests import IN_HAND_FACTOR, requests_queue
from tollgate.processor.routing import Router

CONCURRENCY = 40


class Queue:
    """Delivers any number of payments at once."""

    is_open = True
    owed = 0

    def __init__(
        self,
        _broker: Broker,
        _queue: BrokerQueue,
        on_delivery: Callable[[Delivery], Awaitable[None]],
        _on_pull_ended: Callable[[bool], None],
    ) -> None:
        self._on_delivery = on_delivery
        self._delivered = 0

    async def open(self) -> QueueState:
        return QueueState(floor=0, waiting=0)

    async def pull(self, count: int, *, expires_seconds: float, is_once: bool) -> None:
        del expires_seconds, is_once
        for _ in range(count):
            self._delivered += 1
            number = self._delivered
            info = SimpleNamespace(
                sequence=number, consumer_sequence=number, deliveries=1, pending=1_000, stored_at_us=now_us()
            )
            payload = encode(PaymentRequested(OTHER_PAYMENT.format(number % 10_000), 5, now_us()))
            delivery = SimpleNamespace(
                subject="payments.requested", info=info, payload=payload, ack=_nothing, retry=_nothing, extend=_nothing
            )
            await self._on_delivery(cast("Delivery", delivery))


async def _nothing(*_: object) -> None:
    return


class Roomy:
    """A router that would take any number: every call has ended, and only the outcomes are still to be stored."""

    payments_per_delivery = 1.0
    is_down = False

    def __init__(self) -> None:
        self.asked = 0

    def room(self, _: float) -> int:
        self.asked += 1
        return 10 * CONCURRENCY

    def observe_delivery(self, **_: object) -> None:
        return


class Storing:
    """A handler whose outcomes are stored only when the test releases them."""

    may_take = True

    def __init__(self) -> None:
        self.in_hand = self.in_hand_max = 0
        self.is_full = asyncio.Event()
        self.stores = asyncio.Event()

    async def handle(self, _: Work) -> Done:
        self.in_hand += 1
        self.in_hand_max = max(self.in_hand_max, self.in_hand)
        if self.in_hand == int(CONCURRENCY * IN_HAND_FACTOR):
            self.is_full.set()
        await self.stores.wait()
        self.in_hand -= 1
        return Done()


async def test_payments_whose_outcomes_are_being_stored_leave_room_for_others_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "Deliveries", Queue)
    broker = SimpleNamespace(generation=1, is_connected=True, connected=_first_generation)
    handler, router = Storing(), Roomy()
    intake = requests_queue(
        cast("Broker", broker),
        cast("PaymentHandler", handler),
        cast("Router", router),
        RightClock(),
        concurrency=CONCURRENCY,
        start_sequence=1,
    )
    working = asyncio.create_task(intake.run())
    await asyncio.wait_for(handler.is_full.wait(), 10)
    asked = router.asked

    async def has_looked_again() -> bool:
        return router.asked >= asked + 2

    await eventually(has_looked_again, what="the worker looks whether there is room")
    assert handler.in_hand_max == int(CONCURRENCY * IN_HAND_FACTOR) > CONCURRENCY
    handler.stores.set()
    working.cancel()
    await asyncio.wait([working])


async def _first_generation() -> int:
    return 1
