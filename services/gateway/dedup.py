"""The dedup index: follows the log's requests, and reports whether the set of known ids is current."""

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
"""Between two readings. The broker itself drops repeats of what arrived in between, and delivering each request to each
gateway at once would cost more CPU than accepting it. Longer pauses cause bursts that delay requests."""


class DedupIndex:
    """Adds the id of each request in the log to `known_ids`; `watch` checks that the log is the same.

    The set is current while it is at most `lag_seconds_max` behind the log.
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
        """The set holds all requests up to this sequence of the log."""

    @property
    def is_current(self) -> bool:
        """Whether the set holds every request whose message id may have left the broker's duplicate window.

        False after a new connection until the log was found to be the same.
        """
        return self._watch.is_sure and self._now() - self._current_at < self._lag_seconds_max

    @property
    def log_fault(self) -> str | None:
        """What is missing from the log; None if nothing."""
        return self._watch.fault

    @property
    def is_started(self) -> bool:
        """Whether the log has been read to its end once."""
        return self._started.is_set()

    async def looked(self, *, timeout_seconds: float) -> None:
        """Waits until the log was read to its end once and, after a new connection, found to be the same.

        Returns after `timeout_seconds` in any case.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not (self.is_started and self._watch.is_sure):
                    self._looked.clear()
                    await self._looked.wait()

    async def run(self) -> None:
        """Follows the log until cancelled, one reading per pause. Raises LogChangedError when the log is another."""
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
        """Reads all requests and purges stored until now. Raises BrokerError."""
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
        """Returns whether it got there: in a cluster, the reader's server may be behind the one with that sequence.

        Nothing is read while there are no new requests: the reader begins after the last one, and for a new reader the
        broker scans everything stored since, which after a long backlog are the outcomes of all its payments.
        """
        if sequence >= self._reader.next_sequence:
            async with self._reader as reader:
                async for messages in reader.to_the_end(BATCH_MESSAGES_MAX):
                    await self._note_all(messages)
            # What arrived while the reader closed: the next reading may be a long time away.
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
            # An id that was used again after a purge has the epoch after an @. A header that does not match its event
            # only causes one needless question to the read model: no event is decoded here.
            self._known_ids.add(message.message_id.partition("@")[0])

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _is_purge(self, sequence: int) -> bool:
        """Whether the message is a valid LedgerPurged: only its subject and headers were read so far."""
        deadline = asyncio.get_running_loop().time() + PURGE_TIMEOUT_SECONDS
        if isinstance(await self._log.event_at(sequence, deadline=deadline), LedgerPurged):
            return True
        logger.error("message %d of the log is no valid event, so it purges nothing", sequence)
        return False
