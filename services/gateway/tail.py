"""Keeps the set of seen payments in step with the log, and says whether it is."""

import asyncio
from contextlib import suppress

from contract.stream import PURGED, REQUESTED
from gateway.seen import SeenPayments
from runtime.broker import Broker
from runtime.reader import LogMessage, LogReader

BATCH_MESSAGES_MAX = 5_000
PAUSE_SECONDS = 2.0
"""Between two readings. The broker itself drops repeats of what came in between, and a delivery of each request to each
gateway as it comes would cost more CPU than accepting it."""


class Tail:
    """Follows the requests in the log. `lag_seconds_max` is how far behind the set may be to be relied on."""

    def __init__(self, broker: Broker, seen: SeenPayments, *, lag_seconds_max: float) -> None:
        self._reader = LogReader(broker, 1, subjects=(REQUESTED, PURGED), headers_only=True)
        self._seen = seen
        self._lag_seconds_max = lag_seconds_max
        self._started = asyncio.Event()

    @property
    def is_current(self) -> bool:
        """Whether each request that the broker may have forgotten the message id of is in the set."""
        return asyncio.get_running_loop().time() - self._reader.current_at < self._lag_seconds_max

    @property
    def is_started(self) -> bool:
        """Whether the log was read to its end once."""
        return self._started.is_set()

    async def started(self, *, timeout_seconds: float) -> None:
        """Waits until the log was read to its end once; returns at the bound all the same."""
        if self.is_started:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._started.wait()

    async def run(self) -> None:
        """Follows the log until cancelled, in bursts."""
        while True:
            async with self._reader as reader:
                async for messages in reader.to_the_end(BATCH_MESSAGES_MAX):
                    for message in messages:
                        self._note(message)
            self._started.set()
            await asyncio.sleep(PAUSE_SECONDS)

    def _note(self, message: LogMessage) -> None:
        if message.subject == PURGED:
            self._seen.clear()
        elif message.message_id is not None:
            # An id that was used again after a purge carries the epoch behind an @.
            self._seen.add(message.message_id.partition("@")[0])
