"""Pulls from a queue of a real broker."""

import asyncio
import uuid
from collections.abc import Callable
from functools import partial

from tests.support.conditions import eventually
from tollgate.contract.events import PaymentRequested
from tollgate.contract.subjects import CONSUMER, REQUESTED
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import Queue
from tollgate.messaging.log import Log
from tollgate.messaging.pull_consumer import Deliveries, Delivery

ASKED_FOR = 10


async def request(log: Log) -> None:
    await log.append(PaymentRequested(str(uuid.uuid4()), 1, 0), timeout_seconds=5)


async def until(condition: Callable[[], bool], what: str) -> None:
    async def is_so() -> bool:
        return condition()

    await eventually(is_so, what=what)


async def test_a_pull_of_what_waits_ends_with_it_or_with_the_next_message(broker: Broker, log: Log) -> None:
    taken: list[Delivery] = []
    ended: list[bool] = []

    async def on_delivery(delivery: Delivery) -> None:
        taken.append(delivery)
        await delivery.ack()

    deliveries = Deliveries(broker, Queue(CONSUMER, REQUESTED, 100), on_delivery, ended.append)
    await deliveries.open()
    for _ in range(3):
        await request(log)

    await deliveries.pull(ASKED_FOR, is_once=True)
    assert deliveries.owed == ASKED_FOR
    await until(lambda: deliveries.owed == 0, "the pull has ended with what waited")
    assert (len(taken), ended) == (3, [False])

    await deliveries.pull(ASKED_FOR, is_once=True)
    await request(log)
    await until(lambda: deliveries.owed == 0, "the pull has waited for the next message, and ended with it")
    assert (len(taken), ended) == (4, [False, False])

    for _ in range(3):
        await request(log)
    await deliveries.pull(2, is_once=True)
    await until(lambda: deliveries.owed == 0, "the pull was filled")
    await asyncio.wait_for(broker.client.flush(), 5)
    assert (len(taken), len(ended)) == (6, 2)


async def test_two_replicas_that_wait_for_the_next_message_share_what_comes(broker: Broker, log: Log) -> None:
    queue = Queue(CONSUMER, REQUESTED, 100)
    taken: list[int] = []

    async def take(replica: int, delivery: Delivery) -> None:
        taken.append(replica)
        await delivery.ack()

    both = [Deliveries(broker, queue, partial(take, replica)) for replica in range(2)]
    for deliveries in both:
        await deliveries.open()
        await deliveries.pull(ASKED_FOR, is_once=True)
    await request(log)
    await until(lambda: len(taken) == 1, "the first message was delivered")
    await request(log)
    await until(lambda: not both[0].owed and not both[1].owed, "each pull has ended with its message")
    assert sorted(taken) == [0, 1]
