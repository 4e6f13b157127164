"""What one replica has in hand of a queue: each delivery is worked on once, kept its own meanwhile, and answered."""

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
"""How long a stopping replica lets calls finish; what is left then is delivered again, and found in the log."""


@dataclass(slots=True)
class _InFlight:
    delivery: Delivery
    extended_at: float


class Hands:
    """The deliveries of one queue; `handle` works on one and says how it is answered, `what` names it in the log."""

    def __init__(self, handle: Callable[[Delivery], Awaitable[Result]], *, what: str) -> None:
        self._handle = handle
        self._what = what
        self._in_flight: dict[int, _InFlight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()
        """Set when one was answered."""

    def __len__(self) -> int:
        return len(self._in_flight)

    def take(self, delivery: Delivery) -> bool:
        """Keeps the delivery from going to others, until `begin`. False if it is here already.

        Delivered again while it is worked on, only the newest delivery can be answered.
        """
        working = self._in_flight.get(delivery.info.sequence)
        if working is not None:
            working.delivery = delivery
            return False
        self._in_flight[delivery.info.sequence] = _InFlight(delivery, time.monotonic())
        return True

    def begin(self, delivery: Delivery) -> None:
        """Works on what was taken."""
        task = asyncio.create_task(self._work(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def keep(self) -> None:
        """Starts the deadlines of what is in hand anew, until cancelled."""
        while True:
            await asyncio.sleep(EXTEND_SECONDS / 4)
            now = time.monotonic()
            for working in list(self._in_flight.values()):
                if now - working.extended_at >= EXTEND_SECONDS:
                    working.extended_at = now
                    await working.delivery.extend()

    async def drain(self) -> None:
        """Lets what has begun finish, within DRAIN_SECONDS."""
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
