"""Intake from the side queues: the doubts at each provider, and the attempts that operators released."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from tollgate.contract.events import Event, PaymentInDoubt, PaymentReleased, ProviderName
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import Queue
from tollgate.messaging.pull_consumer import PULL_EXPIRES_SECONDS, Deliveries, Delivery
from tollgate.messaging.validity import valid_events
from tollgate.processor.charging.doubt_handler import Doubt, DoubtHandler
from tollgate.processor.charging.handler import Done, Result, Retry
from tollgate.processor.charging.release_handler import Released, ReleaseHandler
from tollgate.processor.intake.delivery_tasks import DeliveryTasks
from tollgate.processor.intake.queues import DOUBTS, RELEASED
from tollgate.processor.routing import Pace, Router
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.retries import Retries
from tollgate.runtime.tasks import end

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""The pause between two checks whether more may be taken, while no delivery ends."""
OPEN_PAUSE_SECONDS_MAX = 5.0
"""The longest pause between two tries to open the queue."""
PROBE_POLL_SECONDS = 0.05
"""The same as POLL_SECONDS while a provider is down, and the next probe is soon due."""
PROBE_PULL_SECONDS = 1.0
"""How long a pull for a doubt that is to probe stays open. If none is delivered, there is none."""


class Rule(Protocol):
    """Decides how much is taken from a queue. Times are monotonic seconds."""

    @property
    def poll_seconds(self) -> float:
        """How soon `room` is called again."""

    @property
    def pull_seconds(self) -> float:
        """How long a pull stays open."""

    def opened(self, waiting: int, now: float) -> None:
        """The queue was opened; `waiting` of its events are not done."""

    def room(self, in_hand: int, now: float) -> int:
        """How many more may be taken."""

    def observe(self, *, are_there: bool) -> None:
        """The queue delivered an event, or was found empty."""


class SideQueue:
    """Takes from one queue as much as its rule has room for."""

    def __init__(
        self, broker: Broker, queue: Queue, rule: Rule, handle: Callable[[Delivery, Event], Awaitable[Result]]
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._rule = rule
        self._handle = handle
        self._deliveries = Deliveries(broker, queue, self._on_delivery, self._on_none)
        self._opening = Retries(
            *(logger, f"{queue.consumer} cannot be taken from yet"),
            pause_seconds_min=POLL_SECONDS,
            pause_seconds_max=OPEN_PAUSE_SECONDS_MAX,
        )
        self._tasks = DeliveryTasks(self._decoded, what=queue.consumer)
        self._stopping = False

    async def run(self) -> None:
        """Takes and handles events until cancelled; then finishes what is under way."""
        extending = asyncio.ensure_future(self._tasks.extend_deadlines())
        try:
            while True:
                generation = await self._open()
                while self._deliveries.is_open and self._broker.generation == generation:
                    await self._pull_what_fits()
                    await self._until_changed()
                # A broker that keeps answering that there is no consumer must not be polled in a tight loop.
                await asyncio.sleep(PROBE_POLL_SECONDS)
        finally:
            self._stopping = True
            await self._tasks.drain()
            await end(extending)

    async def _open(self) -> int:
        while True:
            generation = await self._broker.connected()
            try:
                state = await self._deliveries.open()
            except BrokerError as error:
                await asyncio.sleep(self._opening.failed(error))
                continue
            self._opening.succeeded()
            self._rule.opened(state.waiting, time.monotonic())
            return generation

    async def _pull_what_fits(self) -> None:
        free = self._rule.room(len(self._tasks) + self._deliveries.owed, time.monotonic())
        if free > 0 and self._broker.is_connected:
            await self._deliveries.pull(free, expires_seconds=self._rule.pull_seconds)

    async def _until_changed(self) -> None:
        self._tasks.changed.clear()
        try:
            async with asyncio.timeout(self._rule.poll_seconds):
                await self._tasks.changed.wait()
        except TimeoutError:
            return

    async def _on_delivery(self, delivery: Delivery) -> None:
        if self._stopping:
            await delivery.retry(0)
            return
        self._rule.observe(are_there=True)
        if self._tasks.take(delivery):
            self._tasks.begin(delivery)

    def _on_none(self) -> None:
        if not self._tasks:
            self._rule.observe(are_there=False)

    async def _decoded(self, delivery: Delivery) -> Result:
        events = valid_events(delivery.info.sequence, delivery.subject, delivery.payload) or ()
        # These events are never stored in groups; if they were, none would be lost here.
        results = [await self._handle(delivery, event) for event in events]
        return next((result for result in results if isinstance(result, Retry)), Done())


def doubts_queue(broker: Broker, provider: ProviderName, handler: DoubtHandler, router: Router) -> SideQueue:
    """The queue of doubts at one provider."""

    async def handle(delivery: Delivery, event: Event) -> Result:
        if not isinstance(event, PaymentInDoubt):
            return _passed_over(delivery, event)
        return await handler.handle(Doubt(event, delivery.info.sequence, delivery.info.deliveries))

    return SideQueue(broker, DOUBTS[provider], DoubtRule(router, provider), handle)


def released_queue(broker: Broker, handler: ReleaseHandler) -> SideQueue:
    """The queue of attempts that operators released."""

    async def handle(delivery: Delivery, event: Event) -> Result:
        if not isinstance(event, PaymentReleased):
            return _passed_over(delivery, event)
        result = await handler.handle(Released(event, delivery.info.sequence, delivery.info.deliveries))
        rule.answered(result, time.monotonic())
        return result

    rule = ReleaseRule()
    return SideQueue(broker, RELEASED, rule, handle)


class DoubtRule:
    """The rule of a queue of doubts: the router's, because it depends on whether the provider is down."""

    def __init__(self, router: Router, provider: ProviderName) -> None:
        self._router = router
        self._provider: ProviderName = provider
        self._is_first = True

    @property
    def poll_seconds(self) -> float:
        return PROBE_POLL_SECONDS if self._router.is_probing(self._provider) else POLL_SECONDS

    @property
    def pull_seconds(self) -> float:
        return PROBE_PULL_SECONDS if self._router.is_probing(self._provider) else PULL_EXPIRES_SECONDS

    def opened(self, waiting: int, now: float) -> None:
        if self._is_first:
            self._router.observe_waiting_doubts(self._provider, waiting, now)
        self._is_first = False

    def room(self, in_hand: int, now: float) -> int:
        return self._router.room_for_doubts(self._provider, in_hand, now)

    def observe(self, *, are_there: bool) -> None:
        self._router.observe_doubts(self._provider, are_there=are_there)


class ReleaseRule:
    """The rule of the queue of releases: as many as can be routed."""

    poll_seconds = POLL_SECONDS
    pull_seconds = PULL_EXPIRES_SECONDS

    def __init__(self) -> None:
        self._pace = Pace()

    def opened(self, waiting: int, now: float) -> None:
        del waiting, now

    def room(self, in_hand: int, now: float) -> int:
        return self._pace.room(in_hand, now)

    def observe(self, *, are_there: bool) -> None:
        del are_there

    def answered(self, result: Result, now: float) -> None:
        """A release that has to wait slows down the taking of others."""
        if isinstance(result, Done):
            self._pace.ended()
        else:
            self._pace.stays(now)


def _passed_over(delivery: Delivery, event: Event) -> Done:
    logger.error("message %d is a %s, and is skipped", delivery.info.sequence, type(event).__name__)
    return Done()
