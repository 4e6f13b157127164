"""Deliveries from the shared durable consumers: as many as there is room for, never more.

This replaces nats-py's `fetch`, which can stall for seconds on an orphaned pull. Here pull requests stay open on one
inbox, and the deliveries that they may still bring are counted from the broker's messages.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats.errors
from nats.aio.msg import Msg

from tollgate.messaging.acks import DeliveryInfo, parse_ack_subject
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import Queue, QueueState, ensure_consumer
from tollgate.messaging.jetstream_api import consumer_api

logger = logging.getLogger(__name__)

PULL_EXPIRES_SECONDS = 5.0
"""How long a pull stays open by default."""
PULL_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as the broker handed it over. Answer it with exactly one of `ack` and `retry`."""

    subject: str
    payload: bytes
    info: DeliveryInfo
    generation: int
    _broker: Broker
    _reply: str

    async def ack(self) -> None:
        """Acknowledges the event: it is done."""
        await self._answer(b"+ACK")

    async def retry(self, delay_seconds: float) -> None:
        """Returns the event; the broker delivers it again after the delay."""
        await self._answer(b'-NAK {"delay": %d}' % int(delay_seconds * 1e9))

    async def extend(self) -> None:
        """Extends the acknowledgement deadline: the event is still being handled."""
        await self._answer(b"+WPI")

    async def _answer(self, body: bytes) -> None:
        # A lost answer costs a redelivery, which the payment state makes harmless.
        with contextlib.suppress(nats.errors.Error, OSError):
            if self._broker.is_connected:
                await self._broker.client.publish(self._reply, body)


class Deliveries:
    """One replica's open pull requests on one queue."""

    def __init__(
        self,
        broker: Broker,
        queue: Queue,
        on_delivery: Callable[[Delivery], Awaitable[None]],
        on_pull_ended: Callable[[bool], None] = lambda _is_empty: None,
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._on_delivery = on_delivery
        self._on_pull_ended = on_pull_ended
        """Called when the broker ends a pull; with True if it has expired because there was nothing more to deliver."""
        self._pulls: deque[_Pull] = deque()
        self._inbox = ""
        self._generation = 0
        self.is_open = False
        """False until `open`, and again when the broker answers that the consumer does not exist."""

    @property
    def owed(self) -> int:
        """How many deliveries the open pull requests may still bring."""
        now = asyncio.get_running_loop().time()
        while self._pulls and (self._pulls[0].remaining <= 0 or self._pulls[0].ends_at < now):
            self._pulls.popleft()
        return sum(pull.remaining for pull in self._pulls)

    async def open(self) -> QueueState:
        """Ensures the durable consumer and subscribes to its deliveries.

        Call it again after each reconnection. Raises BrokerError.
        """
        generation = await self._broker.connected()
        state = await ensure_consumer(self._broker, self._queue)
        self._pulls.clear()
        self._generation = generation
        if not self._inbox:
            self._inbox = self._broker.client.new_inbox()
            await self._broker.client.subscribe(self._inbox, cb=self._on_message)
        self.is_open = True
        return state

    async def pull(self, count: int, *, expires_seconds: float = PULL_EXPIRES_SECONDS, is_once: bool = False) -> None:
        """Asks for `count` more deliveries, within `expires_seconds`.

        With `is_once` the pull ends with what waits in the queue, or else with the next message. Then it must be the
        only one that is open, because the broker does not name the number of deliveries that will not come.
        """
        self._pulls.append(_Pull(count, asyncio.get_running_loop().time() + expires_seconds + PULL_GRACE_SECONDS))
        await self._broker.client.publish(
            consumer_api("MSG.NEXT", self._queue.consumer),
            _PULL[is_once] % (count, int(expires_seconds * 1e9)),
            reply=self._inbox,
        )

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers
        if headers is not None and "Status" in headers:
            pending = headers.get("Nats-Pending-Messages")
            self._settle(self.owed if pending is None else int(pending))
            if headers["Status"] in _CONSUMER_GONE:
                self.is_open = False
            self._on_pull_ended(headers["Status"] == _NOTHING_CAME)
            return
        self._settle(1)
        info = parse_ack_subject(message.reply)
        await self._on_delivery(
            Delivery(message.subject, message.data, info, self._generation, self._broker, message.reply)
        )

    def _settle(self, count: int) -> None:
        """The oldest pulls owe `count` fewer. The right pull does not matter: only the sum is used."""
        for pull in self._pulls:
            settled = min(count, pull.remaining)
            pull.remaining -= settled
            count -= settled
            if not count:
                return


@dataclass(slots=True)
class _Pull:
    remaining: int
    ends_at: float


_PULL = (b'{"batch":%d,"expires":%d}', b'{"batch":%d,"expires":%d,"no_wait":true}')
_NOTHING_CAME = "408"
_CONSUMER_GONE = ("503", "409")
"""No responders; conflict (consumer deleted, server shutting down). Opening it again is harmless in each case."""
