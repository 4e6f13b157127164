"""Follows the log into the state cache, and lets callers wait until the log was read up to a sequence."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Sequence

from tollgate.contract.events import PaymentProcessed, PaymentRejected, ProviderName
from tollgate.contract.payment_state import is_late
from tollgate.contract.subjects import REQUESTED, SUBJECTS
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.log_reader import LogMessage, LogReader
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.validity import valid_events
from tollgate.processor.charging.state_cache import StateCache
from tollgate.runtime.errors import BrokerUnavailableError
from tollgate.runtime.tasks import result_within, set_results

BATCH_MESSAGES_MAX = 1_000
_OUTCOMES = tuple(subject for subject in SUBJECTS if subject != REQUESTED)
"""All events but the requests. Those come by delivery, and change nothing in the cache."""


class Follower:
    """Applies the log to the state cache; `position` is the last sequence applied.

    Requests are skipped: `position` moves to the sequences of the other events, and no caller waits for a request's.
    """

    def __init__(self, broker: Broker, state_cache: StateCache, watch: LogWatch | None = None) -> None:
        self._broker = broker
        self._watch = watch or LogWatch(broker)
        self.state_cache = state_cache
        self.position = state_cache.start_sequence - 1
        self.ended_at: float | None = None
        """When the last end of a payment was applied, by the monotonic clock; None before the first."""
        self.is_started = asyncio.Event()
        """Set once the log was read up to the end that it had at the start. Nobody takes work before."""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def run(self) -> None:
        """Follows the log until cancelled. Raises LogChangedError when the log is not the one that was read."""
        start, watch = self.state_cache.start_sequence, self._watch
        async with LogReader(self._broker, start, subjects=_OUTCOMES, watch=watch) as reader:
            async for messages in reader.to_the_end(BATCH_MESSAGES_MAX):
                self._read(messages)
            self.is_started.set()
            while True:
                self._read(await reader.batch(BATCH_MESSAGES_MAX))

    async def reached(self, sequence: int, *, timeout_seconds: float) -> None:
        """Waits until the cache holds everything up to `sequence`. Raises BrokerUnavailableError at the bound."""
        if self.position >= sequence and self._watch.is_sure:
            return
        loop = asyncio.get_running_loop()
        future, deadline = loop.create_future(), loop.time() + timeout_seconds
        heapq.heappush(self._waiting, (sequence, next(self._order), future))
        self._wake()
        try:
            await result_within(future, deadline)
            if not self._watch.is_sure:
                # In a log that went back, the position means nothing.
                async with asyncio.timeout_at(deadline):
                    await self._watch.sure()
        except TimeoutError:
            raise BrokerUnavailableError(f"the log could not be read up to {sequence} in time") from None

    async def caught_up(self, provider: ProviderName, *, timeout_seconds: float) -> None:
        """Waits until the cache holds every PaymentInDoubt at `provider` that the log held when this was called.

        Raises BrokerUnavailableError at the bound.
        """
        subject = f"payments.in_doubt.{provider}"
        last = await Log(self._broker).last_sequence_of(subject, timeout_seconds=timeout_seconds)
        await self.reached(last, timeout_seconds=timeout_seconds)

    @property
    def may_take(self) -> bool:
        """Whether new requests may be taken: the log is the one that was read, and no message of it is missing."""
        return self._watch.is_sure and self._watch.fault is None

    @property
    def log_fault(self) -> str | None:
        """What is missing of the log; None if nothing."""
        return self._watch.fault

    def _read(self, messages: Sequence[LogMessage]) -> None:
        for message in messages:
            self._apply(message)
        self._wake()

    def _apply(self, message: LogMessage) -> None:
        for event in valid_events(message.sequence, message.subject, message.payload) or ():
            if isinstance(event, PaymentProcessed | PaymentRejected):
                self.ended_at = time.monotonic()
            self.state_cache.apply(message.sequence, event, is_late=is_late(event, message.stored_at_us))
        self.position = message.sequence

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.position:
            set_results((heapq.heappop(self._waiting)[2],), None)
