"""Takes units of work from one queue of the log, as many as its rule has room for, and has them handled."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tollgate.contract.events import Event
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import Queue, QueueState
from tollgate.messaging.pull_consumer import Deliveries, Delivery
from tollgate.messaging.validity import valid_events
from tollgate.processor.charging.handler import Result
from tollgate.processor.intake.delivery_tasks import DeliveryTasks
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.retries import Retries
from tollgate.runtime.tasks import end, set_within
from tollgate.runtime.ticks import seconds_to_tick

logger = logging.getLogger(__name__)

OPEN_PAUSE_SECONDS_MIN = 0.05
"""The shortest pause between two tries to open the queue: a broker that keeps answering that there is no consumer must
not be polled in a tight loop."""
OPEN_PAUSE_SECONDS_MAX = 5.0
FULL_PULL_MIN = 16
"""After a pull that brought all that it asked for, and at least so many messages, the next is sent without a pause."""


class Rule(Protocol):
    """Decides how much is taken from a queue. Times are monotonic seconds."""

    def poll_seconds(self, owed: int) -> float:
        """How soon `room` is called again, if no event and no pull ends before, while `owed` messages are asked for."""

    @property
    def pull_seconds(self) -> float:
        """How long a pull stays open."""

    @property
    def gather_seconds(self) -> float:
        """How long messages gather in the queue after others were taken. They are then delivered with one pull, and
        begin together. If 0, each is delivered and begins at once."""

    def opened(self, state: QueueState, now: float) -> None:
        """The queue was opened. Raises FatalError if this replica cannot take from it."""

    def room(self, in_hand: int, gathered: int, owed: int, now: float) -> int:
        """How many more messages to ask for.

        `in_hand` events are being handled or about to be, `gathered` of them are about to be; `owed` messages were
        asked for and have not come.
        """

    def delivered(self, delivery: Delivery, events: int, now: float) -> None:
        """The queue delivered a message of so many events that were not in hand."""

    def none_delivered(self) -> None:
        """The queue was found empty while nothing was in hand."""


class QueueIntake:
    """Takes from one queue."""

    def __init__(
        self, broker: Broker, queue: Queue, rule: Rule, handle: Callable[[Delivery, Event], Awaitable[Result]]
    ) -> None:
        self._broker = broker
        self._rule = rule
        self._deliveries = Deliveries(broker, queue, self._on_delivery, self._on_pull_ended)
        self._opening = Retries(
            *(logger, f"{queue.consumer} cannot be taken from yet"),
            pause_seconds_min=OPEN_PAUSE_SECONDS_MIN,
            pause_seconds_max=OPEN_PAUSE_SECONDS_MAX,
        )
        self._tasks = DeliveryTasks(handle, what=queue.consumer)
        self._gathered: list[Delivery] = []
        self._gathered_events = 0
        self._begin_at_last: asyncio.TimerHandle | None = None
        self._asked_for = 0
        self._pull_at = float("-inf")
        self._stopping = False

    @property
    def in_hand(self) -> int:
        """The number of events that are handled, or are about to be."""
        return len(self._tasks)

    async def run(self) -> None:
        """Takes and handles events until cancelled; then finishes what is under way."""
        extending = asyncio.ensure_future(self._tasks.extend_deadlines())
        try:
            while True:
                generation = await self._open()
                while self._deliveries.is_open and self._broker.generation == generation:
                    await self._pull_what_fits()
                    await self._until_changed()
                await asyncio.sleep(OPEN_PAUSE_SECONDS_MIN)
        finally:
            self._stopping = True
            await self._put_back_gathered()
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
            self._rule.opened(state, time.monotonic())
            return generation

    async def _pull_what_fits(self) -> None:
        now = time.monotonic()
        if not self._broker.is_connected or now < self._pull_at:
            return
        count = self._rule.room(len(self._tasks), self._gathered_events, self._deliveries.owed, now)
        if count > 0:
            self._asked_for = count
            is_once = self._rule.gather_seconds > 0
            await self._deliveries.pull(count, expires_seconds=self._rule.pull_seconds, is_once=is_once)

    async def _until_changed(self) -> None:
        if (pause_seconds := self._pull_at - time.monotonic()) > 0:
            # Each payment that ends meanwhile would end another wait in vain.
            await asyncio.sleep(pause_seconds)
            return
        self._tasks.changed.clear()
        await set_within(self._tasks.changed, seconds_to_tick(self._rule.poll_seconds(self._deliveries.owed)))

    async def _on_delivery(self, delivery: Delivery) -> None:
        if self._stopping:
            await delivery.retry(0)
            return
        events: Sequence[Event] = valid_events(delivery.info.sequence, delivery.subject, delivery.payload) or ()
        if not events:
            await delivery.ack()
        elif self._tasks.take(delivery, events):
            self._rule.delivered(delivery, len(events), time.monotonic())
            self._begin_or_gather(delivery, len(events))
        if self._rule.gather_seconds and not self._deliveries.owed:
            self._on_batch(self._asked_for >= FULL_PULL_MIN)

    def _begin_or_gather(self, delivery: Delivery, events: int) -> None:
        if not self._rule.gather_seconds:
            self._tasks.begin(delivery)
            return
        if not self._gathered:
            # The end of the pull can be lost with the connection.
            loop = asyncio.get_running_loop()
            self._begin_at_last = loop.call_later(self._rule.gather_seconds, self._begin_gathered)
        self._gathered.append(delivery)
        self._gathered_events += events

    def _on_pull_ended(self, is_empty: bool) -> None:
        if is_empty and not self._tasks:
            self._rule.none_delivered()
        if self._rule.gather_seconds:
            self._on_batch(may_be_more=False)
        # Without a pause the next pull is sent at once: what arrives between two pulls waits.
        self._tasks.changed.set()

    def _on_batch(self, may_be_more: bool) -> None:
        """A pull has brought all that it will."""
        if not may_be_more:
            self._pull_at = time.monotonic() + self._rule.gather_seconds
        self._begin_gathered()
        self._tasks.changed.set()

    def _begin_gathered(self) -> None:
        if self._begin_at_last is not None:
            self._begin_at_last.cancel()
        for delivery in self._gathered:
            self._tasks.begin(delivery)
        self._gathered.clear()
        self._gathered_events = 0

    async def _put_back_gathered(self) -> None:
        for delivery in self._gathered:
            await delivery.retry(0)
        self._gathered.clear()
