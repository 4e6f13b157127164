"""Keeps the set of seen payments in step with the log, and says whether it is."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from tollgate.contract.events import LedgerPurged
from tollgate.contract.subjects import PURGED, REQUESTED
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.log_reader import LogMessage, LogReader
from tollgate.messaging.log_watch import LogWatch
from tollgate.runtime.bloom_set import BloomSet
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.retries import Retries

logger = logging.getLogger(__name__)

SUBJECTS = (REQUESTED, PURGED)
BATCH_MESSAGES_MAX = 5_000
PURGE_TIMEOUT_SECONDS = 60.0
STATE_TIMEOUT_SECONDS = 5.0
PAUSE_SECONDS = 0.5
"""Between two readings. The broker itself drops repeats of what came in between, and a delivery of each request to each
gateway as it comes would cost more CPU than accepting it. Longer pauses make bursts that hold up requests."""


class DedupIndex:
    """Follows the requests in the log, as `watch` sees it.

    `lag_seconds_max` is how far behind the set may be to be relied on.
    """

    def __init__(
        self, broker: Broker, known_ids: BloomSet, *, lag_seconds_max: float, watch: LogWatch | None = None
    ) -> None:
        self._log = Log(broker)
        self._watch = watch or LogWatch(broker)
        self._reader = LogReader(broker, 1, subjects=SUBJECTS, headers_only=True, watch=self._watch)
        self._known_ids = known_ids
        self._broker = broker
        self._lag_seconds_max = lag_seconds_max
        self._started = asyncio.Event()
        self._looked = asyncio.Event()
        self._current_at = float("-inf")
        self.position = 0
        """Whatever was requested up to this sequence of the log is in the set."""

    @property
    def is_current(self) -> bool:
        """Whether each request that the broker may have forgotten the message id of is in the set.

        Not behind a new connection until the log was found to be the same.
        """
        return self._watch.is_sure and self._now() - self._current_at < self._lag_seconds_max

    @property
    def log_fault(self) -> str | None:
        """What is missing of the log; None if nothing."""
        return self._watch.fault

    @property
    def is_started(self) -> bool:
        """Whether the log was read to its end once."""
        return self._started.is_set()

    async def looked(self, *, timeout_seconds: float) -> None:
        """Waits until the log was read to its end once, and found to be the same behind a new connection.

        Returns at the bound all the same.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not (self.is_started and self._watch.is_sure):
                    self._looked.clear()
                    await self._looked.wait()

    async def run(self) -> None:
        """Follows the log until cancelled, in bursts. Raises LogChangedError when it is not the one that was read."""
        retries = Retries(
            *(logger, "the log cannot be read"), pause_seconds_min=PAUSE_SECONDS, pause_seconds_max=PAUSE_SECONDS
        )
        while True:
            pause_seconds = PAUSE_SECONDS
            try:
                await self._read()
                retries.succeeded()
            except BrokerError as error:
                pause_seconds = retries.failed(error)
            await asyncio.sleep(pause_seconds)

    async def _read(self) -> None:
        """Reads what was requested, or purged, until now. Raises BrokerError."""
        await self._broker.connected()
        asked_at = self._now()
        log = await self._watch.look(timeout_seconds=STATE_TIMEOUT_SECONDS)
        if log.last_sequence > self.position:
            if not await self._read_up_to(await self._newest()):
                return
            self.position = log.last_sequence
        self._current_at = asked_at
        self._started.set()
        self._looked.set()

    async def _newest(self) -> int:
        newest = [await self._log.last_sequence_of(one, timeout_seconds=STATE_TIMEOUT_SECONDS) for one in SUBJECTS]
        return max(newest)

    async def _read_up_to(self, sequence: int) -> bool:
        """Whether it could be: in a cluster, the reader's server may be behind the one that named the sequence.

        Nothing is read while no requests come: the reader begins behind the last one, and for a new reader the broker
        looks through all that was stored since, which in a long backlog's wake are the outcomes of all its payments.
        """
        if sequence >= self._reader.next_sequence:
            async with self._reader as reader:
                async for messages in reader.to_the_end(BATCH_MESSAGES_MAX):
                    await self._note_all(messages)
            # What came in while it was left: nobody might look again for long.
            while messages := self._reader.take(BATCH_MESSAGES_MAX):
                await self._note_all(messages)
        return self._reader.next_sequence > sequence

    async def _note_all(self, messages: Sequence[LogMessage]) -> None:
        for message in messages:
            await self._note(message)

    async def _note(self, message: LogMessage) -> None:
        if message.subject == PURGED:
            if await self._is_purge(message.sequence):
                self._known_ids.clear()
        elif message.message_id is not None:
            # An id that was used again after a purge carries the epoch behind an @. A header that is not that of its
            # event makes a gateway ask the read model once more, which knows: no event is taken from here.
            self._known_ids.add(message.message_id.partition("@")[0])

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _is_purge(self, sequence: int) -> bool:
        """Whether the event itself says so: only headers were read, and a subject is no event."""
        deadline = asyncio.get_running_loop().time() + PURGE_TIMEOUT_SECONDS
        if isinstance(await self._log.event_at(sequence, deadline=deadline), LedgerPurged):
            return True
        logger.error("message %d of the log is no valid event, and purges nothing", sequence)
        return False
