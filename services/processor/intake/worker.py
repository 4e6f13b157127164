"""The worker of one replica: takes as many requests as it has room for, and handles them."""

import asyncio
import logging
import time

from tollgate.contract.events import PaymentRequested
from tollgate.messaging.connection import Broker
from tollgate.messaging.pull_consumer import Deliveries, Delivery
from tollgate.messaging.validity import valid_events
from tollgate.processor.charging.handler import Done, PaymentHandler, Result, Work
from tollgate.processor.charging.ports import BrokerAlignedClock
from tollgate.processor.intake.delivery_tasks import DeliveryTasks
from tollgate.processor.intake.queues import REQUESTS
from tollgate.processor.routing import Router
from tollgate.runtime.errors import BrokerError, FatalError
from tollgate.runtime.retries import Retries
from tollgate.runtime.tasks import end

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.02
"""How long a delivery waits for others. Requests that begin together are written, stored and read back together, for a
fifth less CPU in broker and replica; no client waits for a charge (docs/decisions/0018)."""
IDLE_POLL_SECONDS = 0.05
"""The pause between two checks whether a circuit may be probed again, while nothing is taken."""
OPEN_PAUSE_SECONDS_MAX = 5.0
"""The longest pause between two tries to open the queue."""
IN_HAND_FACTOR = 1.25
"""Payments in hand per call that may be under way. The rest are payments before their call, or after it until their
outcome is stored. In one bound with the calls, a slow provider's payments would take the places of the fast one's."""
PULL_MIN = 16
"""The smallest pull, so that one pull serves many payments; smaller only when none is open."""


class Worker:
    """Has up to `concurrency` calls to providers under way, and IN_HAND_FACTOR times as many payments in hand."""

    def __init__(
        self,
        broker: Broker,
        handler: PaymentHandler,
        router: Router,
        clock: BrokerAlignedClock,
        *,
        concurrency: int,
        start_sequence: int,
    ) -> None:
        self._clock = clock
        self._broker = broker
        self._handler = handler
        self._router = router
        self._in_hand_max = int(concurrency * IN_HAND_FACTOR)
        self._start_sequence = start_sequence
        self._deliveries = Deliveries(broker, REQUESTS, self._on_delivery)
        self._opening = Retries(
            *(logger, "requests cannot be taken yet"),
            pause_seconds_min=IDLE_POLL_SECONDS,
            pause_seconds_max=OPEN_PAUSE_SECONDS_MAX,
        )
        self._tasks = DeliveryTasks(self._handle, what="request")
        self._gathered: list[Delivery] = []
        self._stopping = False

    @property
    def in_hand(self) -> int:
        """The number of payments that are handled, or are about to be."""
        return len(self._tasks)

    async def run(self) -> None:
        """Takes and handles requests until cancelled; then finishes what is under way."""
        extending = asyncio.ensure_future(self._tasks.extend_deadlines())
        try:
            while True:
                generation = await self._open()
                while self._deliveries.is_open and self._broker.generation == generation:
                    await self._pull_what_fits()
                    await self._until_changed()
                # A broker that keeps answering that there is no consumer must not be polled in a tight loop.
                await asyncio.sleep(IDLE_POLL_SECONDS)
        finally:
            self._stopping = True
            await self._drain()
            await end(extending)

    async def _open(self) -> int:
        while True:
            generation = await self._broker.connected()
            try:
                floor = (await self._deliveries.open()).floor
            except BrokerError as error:
                await asyncio.sleep(self._opening.failed(error))
                continue
            self._opening.succeeded()
            if floor + 1 < self._start_sequence:
                raise FatalError("the consumer of requests was set back; restarting to read the log from there")
            return generation

    async def _pull_what_fits(self) -> None:
        now = time.monotonic()
        if not (self._broker.is_connected and self._clock.is_right and self._handler.may_take):
            return
        owed = self._deliveries.owed
        room = self._router.room(now) - len(self._gathered)
        free = min(room, self._in_hand_max - len(self._tasks)) - owed
        if free >= PULL_MIN or (free > 0 and not owed):
            await self._deliveries.pull(free)

    async def _until_changed(self) -> None:
        self._tasks.changed.clear()
        try:
            async with asyncio.timeout(IDLE_POLL_SECONDS):
                await self._tasks.changed.wait()
        except TimeoutError:
            return

    async def _on_delivery(self, delivery: Delivery) -> None:
        if self._stopping:
            await delivery.retry(0)
            return
        if not self._tasks.take(delivery):
            return
        self._router.observe_delivery(
            delivered=delivery.info.consumer_sequence,
            pending=delivery.info.pending,
            is_redelivery=delivery.info.deliveries > 1,
            now=time.monotonic(),
        )
        if not self._gathered:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._begin)
        self._gathered.append(delivery)

    def _begin(self) -> None:
        for delivery in self._gathered:
            self._tasks.begin(delivery)
        self._gathered.clear()

    async def _handle(self, delivery: Delivery) -> Result:
        events = valid_events(delivery.info.sequence, delivery.subject, delivery.payload)
        request = events[0] if events else None
        if not isinstance(request, PaymentRequested):
            return Done()
        info = delivery.info
        return await self._handler.handle(Work(request, info.sequence, info.deliveries, info.stored_at_us))

    async def _drain(self) -> None:
        for delivery in self._gathered:
            await delivery.retry(0)
        self._gathered.clear()
        await self._tasks.drain()
