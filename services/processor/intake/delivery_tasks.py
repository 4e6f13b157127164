"""The deliveries of a queue that one replica has in hand: each is handled once, extended meanwhile, and answered."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tollgate.messaging.durable_consumer import ACK_WAIT_SECONDS
from tollgate.messaging.pull_consumer import Delivery
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.processor.charging.handler import Done, Result, Retry
from tollgate.processor.charging.histories import UnknownPaymentError
from tollgate.runtime.errors import BrokerError

logger = logging.getLogger(__name__)

EXTEND_SECONDS = ACK_WAIT_SECONDS / 3
DRAIN_SECONDS = 2.5
"""How long a stopping replica waits for calls to finish; the rest is delivered again, and found in the log."""


@dataclass(slots=True)
class _InFlight:
    delivery: Delivery
    extended_at: float


class DeliveryTasks:
    """A task for each delivery of one queue. The result of `handle` answers it; `what` names it in the program log."""

    def __init__(self, handle: Callable[[Delivery], Awaitable[Result]], *, what: str) -> None:
        self._handle = handle
        self._what = what
        self._in_flight: dict[int, _InFlight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()
        """Set when a delivery was answered."""

    def __len__(self) -> int:
        return len(self._in_flight)

    def take(self, delivery: Delivery) -> bool:
        """Extends the delivery from now on. False if its event is in hand already.

        Of an event that is delivered again while it is handled, only the newest delivery can be answered.
        """
        in_flight = self._in_flight.get(delivery.info.sequence)
        if in_flight is not None:
            in_flight.delivery = delivery
            return False
        self._in_flight[delivery.info.sequence] = _InFlight(delivery, time.monotonic())
        return True

    def begin(self, delivery: Delivery) -> None:
        """Starts the task of a delivery that was taken."""
        task = asyncio.create_task(self._work(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def extend_deadlines(self) -> None:
        """Extends the acknowledgement deadlines of the deliveries in hand, until cancelled."""
        while True:
            await asyncio.sleep(EXTEND_SECONDS / 4)
            now = time.monotonic()
            for in_flight in list(self._in_flight.values()):
                if now - in_flight.extended_at >= EXTEND_SECONDS:
                    in_flight.extended_at = now
                    await in_flight.delivery.extend()

    async def drain(self) -> None:
        """Waits up to DRAIN_SECONDS for the tasks to finish, and cancels the rest."""
        if not self._tasks:
            return
        _, running = await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _work(self, delivery: Delivery) -> None:
        sequence = delivery.info.sequence
        try:
            result = await self._handle(delivery)
            newest = self._in_flight[sequence].delivery
            match result:
                case Done():
                    await newest.ack()
                case Retry(delay_seconds):
                    await newest.retry(delay_seconds)
        except (BrokerError, ReadModelUnavailableError, UnknownPaymentError) as error:
            logger.warning("%s %d goes back to the queue: %s", self._what, sequence, error)
        except Exception:
            logger.exception("%s %d goes back to the queue", self._what, sequence)
        finally:
            del self._in_flight[sequence]
            self.changed.set()
