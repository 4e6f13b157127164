"""The deliveries of a queue that one replica has in hand.

Each event of a message is handled on its own. The message is extended meanwhile, and answered once for all its events.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tollgate.contract.events import Event, LedgerPurged
from tollgate.messaging.durable_consumer import ACK_WAIT_SECONDS
from tollgate.messaging.pull_consumer import Delivery
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.processor.charging.handler import Result, Retry
from tollgate.processor.charging.histories import UnknownPaymentError
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.log_fields import LogFields, about
from tollgate.runtime.tasks import set_within

logger = logging.getLogger(__name__)

EXTEND_SECONDS = ACK_WAIT_SECONDS / 3
FAILED_RETRY_SECONDS = ACK_WAIT_SECONDS
"""When an event is tried again whose handling failed: as if this replica had died."""
DRAIN_SECONDS = 2.5
"""How long a stopping replica waits for calls to finish; the rest is delivered again, and found in the log."""


@dataclass(slots=True)
class _InHand:
    """A message. `delivery` is its newest: of one that is delivered again meanwhile, only that can be answered."""

    delivery: Delivery
    events: Sequence[Event]
    extended_at: float
    under_way: int = 0
    """Events that are being handled."""
    left: int = 0
    """Events whose tasks have not ended."""
    due_at: list[float] = field(default_factory=list)
    """When those that have to wait are to be handled again."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class DeliveryTasks:
    """A task for each event of the deliveries of one queue; `what` names a message in the program log.

    A message whose events have all ended is acknowledged. An event that has to wait goes back to the queue with its
    message as soon as no other event of the message is under way. It is not handled later than it asked for: while
    others are under way, it is handled again in this replica. On redelivery the others are found to have ended.
    """

    def __init__(self, handle: Callable[[Delivery, Event], Awaitable[Result]], *, what: str) -> None:
        self._handle = handle
        # Parts of the text, not values in it: so the lines of each queue are a kind of their own.
        self._back = f"{what} %d goes back to the queue"
        self._back_because = f"{self._back}: %s"
        self._in_hand: dict[int, _InHand] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._events = 0
        self._taken = asyncio.Event()
        self.changed = asyncio.Event()
        """Set when an event is no longer in hand."""

    def __len__(self) -> int:
        """How many events are in hand."""
        return self._events

    def take(self, delivery: Delivery, events: Sequence[Event]) -> bool:
        """Extends the delivery from now on. False if its message is in hand already."""
        in_hand = self._in_hand.get(delivery.info.sequence)
        if in_hand is not None:
            in_hand.delivery = delivery
            return False
        self._in_hand[delivery.info.sequence] = _InHand(delivery, events, time.monotonic())
        self._events += len(events)
        self._taken.set()
        return True

    def begin(self, delivery: Delivery) -> None:
        """Starts the tasks of a delivery that was taken, and has at least one event."""
        in_hand = self._in_hand[delivery.info.sequence]
        in_hand.under_way = in_hand.left = len(in_hand.events)
        for event in in_hand.events:
            task = asyncio.create_task(self._work(in_hand, event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def extend_deadlines(self) -> None:
        """Extends the acknowledgement deadlines of the deliveries in hand, until cancelled."""
        while True:
            if not self._in_hand:
                # An idle replica is not woken four times a second for each queue.
                self._taken.clear()
                await self._taken.wait()
            await asyncio.sleep(EXTEND_SECONDS / 4)
            now = time.monotonic()
            for in_hand in list(self._in_hand.values()):
                if now - in_hand.extended_at >= EXTEND_SECONDS:
                    in_hand.extended_at = now
                    await in_hand.delivery.extend()

    async def drain(self) -> None:
        """Waits up to DRAIN_SECONDS for the tasks to finish, and cancels the rest."""
        if not self._tasks:
            return
        _, running = await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _work(self, in_hand: _InHand, event: Event) -> None:
        try:
            while isinstance(result := await self._result(in_hand, event), Retry):
                if await self._waited(in_hand, result.delay_seconds):
                    return
            await self._leave(in_hand)
        finally:
            in_hand.left -= 1
            self._events -= 1
            if not in_hand.left:
                del self._in_hand[in_hand.delivery.info.sequence]
            self.changed.set()

    async def _result(self, in_hand: _InHand, event: Event) -> Result:
        sequence = in_hand.delivery.info.sequence
        try:
            return await self._handle(in_hand.delivery, event)
        except (BrokerError, ReadModelUnavailableError, UnknownPaymentError) as error:
            logger.warning(self._back_because, sequence, error, extra=_about(event, sequence))
        except Exception:
            logger.exception(self._back, sequence, extra=_about(event, sequence))
        return Retry(FAILED_RETRY_SECONDS)

    async def _waited(self, in_hand: _InHand, seconds: float) -> bool:
        """True if the message goes back to the queue; False after `seconds`, while other events are under way."""
        due_at = time.monotonic() + seconds
        in_hand.due_at.append(due_at)
        await self._leave(in_hand)
        if in_hand.answered.is_set():
            return True
        if await set_within(in_hand.answered, seconds):
            return True
        in_hand.due_at.remove(due_at)
        in_hand.under_way += 1
        return False

    async def _leave(self, in_hand: _InHand) -> None:
        """The event is not under way any more. The last one answers the message."""
        in_hand.under_way -= 1
        if in_hand.under_way:
            return
        in_hand.answered.set()
        if in_hand.due_at:
            await in_hand.delivery.retry(max(min(in_hand.due_at) - time.monotonic(), 0.0))
        else:
            await in_hand.delivery.ack()


def _about(event: Event, sequence: int) -> LogFields:
    if isinstance(event, LedgerPurged):
        return about(event="event_returned", sequence=sequence)
    return about(event="event_returned", sequence=sequence, correlation_id=event.correlation_id)
