"""The dedup index: the ids of all requests in the log up to a sequence, and where the recent ones are."""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from tollgate.contract.events import LedgerPurged
from tollgate.contract.log_mark import LogState
from tollgate.contract.subjects import PURGED, REQUESTED
from tollgate.gateway.filter_start import FilterUnusableError
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.log_reader import LogMessage, LogReader
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError
from tollgate.runtime.id_filter import IdFilter
from tollgate.runtime.log_fields import about
from tollgate.runtime.retries import Retries
from tollgate.runtime.tasks import set_within
from tollgate.runtime.ticks import seconds_to_tick

logger = logging.getLogger(__name__)

BATCH_MESSAGES_MAX = 5_000
RECENT_MAX = 10_000
"""Requests whose sequence is kept, about 2 MB. An older one is found through the read model."""
POLL_SECONDS = 2.0
"""Between two checks whether other gateways have stored requests. Whoever needs them at once does not wait for it."""
RETRY_SECONDS = 1.0
OPEN_SECONDS = 2.0
"""How long the log is followed message by message after the last time that somebody waited for it. A delivery for each
message costs a gateway a third of accepting one, and only gateways that take turns need it."""
STATE_TIMEOUT_SECONDS = 5.0
READ_MESSAGES_MAX = 20_000
"""A log of fewer messages is read in about the time in which the filter is loaded, and without a projector, unless its
beginning is in an archive."""
FILTER_SECONDS_MAX = 5.0
"""How long a start waits for the projector's filter; then it reads the log, unless that is too long."""
FILTER_PAUSE_SECONDS = 0.1
READ_ANYWAY_MESSAGES_MAX = 300_000
"""A longer log is not read when there is no filter: it would take more than about twenty seconds. Then every id may be
known, and each payment is looked up, until the projector gives its filter."""
FILTER_RETRY_SECONDS = 5.0
"""Between two questions for the filter while every id may be known."""
_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class DedupIndex:
    """Holds the id of every request up to `last_sequence`; `watch` checks that the log is the same.

    The index may be behind the log. A gateway stores requests only if `last_sequence` is still the last one in the log
    (docs/decisions/0030), so the broker refuses to store what was not compared with the whole log.
    """

    def __init__(
        self,
        broker: Broker,
        known_ids: IdFilter,
        *,
        watch: LogWatch | None = None,
        load: Callable[[IdFilter], Awaitable[int]] | None = None,
    ) -> None:
        self._load = load
        self._is_filled = False
        self._load_at = 0.0
        self._broker = broker
        self._watch = watch or LogWatch(broker)
        self._known_ids = known_ids
        self._recent: OrderedDict[str, int] = OrderedDict()
        self._log = Log(broker)
        self._is_started = False
        self._moved = asyncio.Event()
        self._asked = asyncio.Event()
        self._asked_at = float("-inf")
        self._purged_at = 0
        self._log_end = 0
        self.on_requests: Callable[[LogMessage, Sequence[str]], None] = lambda _message, _ids: None
        """Called with each message of requests that was not noted before, and with the ids in it."""
        self.last_sequence = 0
        """All requests up to here are in the index."""
        self.recent_from = 0
        """The requests after this sequence and up to `last_sequence` are in the index exactly: `sequence_of`."""

    def __contains__(self, correlation_id: str) -> bool:
        """Whether the payment may have been requested; False only if it was not, up to `last_sequence`."""
        return correlation_id in self._known_ids

    @property
    def filter_bytes(self) -> int:
        """The size of the filter of all ids."""
        return self._known_ids.size_bytes

    def sequence_of(self, correlation_id: str) -> int | None:
        """The sequence of a recent request of the payment; None if there is none."""
        return self._recent.get(correlation_id)

    @property
    def is_current(self) -> bool:
        """Whether payments can be told from repeats: the log was read to its end once, and is still the same.

        False after a new connection until the log was found to be the same.
        """
        return self._is_started and self._watch.is_sure

    @property
    def log_fault(self) -> str | None:
        """What is missing from the log; None if nothing."""
        return self._watch.fault

    @property
    def is_started(self) -> bool:
        """Whether the log has been read to its end once."""
        return self._is_started

    async def looked(self, *, timeout_seconds: float) -> None:
        """Waits until `is_current`. Returns after `timeout_seconds` in any case."""
        if self.is_current:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not self._is_started:
                    await self._until_moved()
                self._asked.set()
                await self._watch.sure()

    async def reached(self, sequence: int, *, deadline: float) -> None:
        """Waits until `last_sequence` is `sequence` or later. Raises TimeoutError at the deadline (loop time)."""
        async with asyncio.timeout_at(deadline):
            while self.last_sequence < sequence:
                self._asked_at = self._now()
                self._asked.set()
                await self._until_moved()

    def note_last(self, sequence: int) -> None:
        """Records that the log's last request is at this earlier sequence: the later ones were removed by a purge."""
        self.last_sequence = min(self.last_sequence, sequence)

    def note_stored(self, after: int, sequence: int, correlation_ids: Iterable[str]) -> None:
        """Records a message of requests that the broker stored directly after the one at `after`."""
        for correlation_id in correlation_ids:
            self._note(correlation_id, sequence)
        if self.last_sequence == after:
            self.last_sequence = sequence

    async def run(self) -> None:
        """Follows the log until cancelled. Raises LogChangedError when the log is another."""
        retries = Retries(
            *(logger, "the log cannot be read"), pause_seconds_min=RETRY_SECONDS, pause_seconds_max=RETRY_SECONDS
        )
        await self._start_from_filter()
        while True:
            try:
                await self._broker.connected()
                if await self._is_behind():
                    await self._read()
                retries.succeeded()
                if self._is_filled and self._load is not None and self._now() >= self._load_at:
                    await self._replace_filter(self._load)
                    self._load_at = self._now() + FILTER_RETRY_SECONDS
            except BrokerError as error:
                await asyncio.sleep(retries.failed(error))
            else:
                await self._pause()

    async def _start_from_filter(self) -> None:
        """Loads the filter that the projector has of a long log. Where that fails, the log is read, or each payment is
        looked up."""
        if self._load is None:
            return
        length = 0
        try:
            async with asyncio.timeout(FILTER_SECONDS_MAX):
                await self._broker.connected()
                log = await self._watch.look(timeout_seconds=STATE_TIMEOUT_SECONDS)
                length = log.last_sequence - log.first_sequence
                if length < READ_MESSAGES_MAX and not await self._lacks_beginning(log):
                    return
                sequence = await self._loaded(self._load)
        except (FilterUnusableError, TimeoutError, BrokerError) as error:
            reason = str(error) or f"the projector did not answer in {FILTER_SECONDS_MAX:g} s"
            if length > READ_ANYWAY_MESSAGES_MAX and await self._start_without_ids(reason):
                return
            logger.warning("the log is read from its beginning, without the projector's filter: %s", reason)
            return
        # A purge up to there is in the filter already.
        self.last_sequence = self.recent_from = self._purged_at = sequence
        logger.info("the ids of all requests up to %d are known from the projector's filter", sequence)

    async def _start_without_ids(self, reason: str) -> bool:
        """Begins at the newest request, with a filter that contains every id. False when the broker does not answer."""
        try:
            newest = await self._log.last_sequence_of(REQUESTED, timeout_seconds=STATE_TIMEOUT_SECONDS)
            purged_at = await self._log.last_sequence_of(PURGED, timeout_seconds=STATE_TIMEOUT_SECONDS)
        except BrokerError as error:
            logger.warning("the newest request cannot be read: %s", error)
            return False
        self._fill()
        # Later requests are noted exactly; a purge that is later is noticed as any other.
        self._purged_at = min(purged_at, newest)
        self.last_sequence = self.recent_from = newest
        logger.warning("each payment is looked up in the read model until the projector gives its filter: %s", reason)
        return True

    async def _replace_filter(self, load: Callable[[IdFilter], Awaitable[int]]) -> None:
        """Loads the projector's filter in place of one that contains every id; tried again later if that fails."""
        ids = IdFilter(self._known_ids.size_bytes)
        try:
            sequence = await load(ids)
        except (FilterUnusableError, ReadModelUnavailableError, BrokerUnavailableError) as error:
            logger.debug("no filter yet: %s", error)
            return
        if not self._is_filled or sequence < self.recent_from:
            # It lacks requests that are not kept exactly any more, or a purge came between.
            return
        for correlation_id in self._recent:
            ids.add(correlation_id)
        self._known_ids, self._is_filled = ids, False
        logger.info("the ids of all requests up to %d are known from the projector's filter", sequence)

    def _fill(self) -> None:
        self._known_ids.fill()
        self._is_filled = True

    async def _loaded(self, load: Callable[[IdFilter], Awaitable[int]]) -> int:
        """Tries until the projector answers."""
        while True:
            try:
                return await load(self._known_ids)
            except (ReadModelUnavailableError, BrokerUnavailableError):
                await asyncio.sleep(FILTER_PAUSE_SECONDS)

    async def _is_behind(self) -> bool:
        """Whether the log may have requests that were not read. Raises BrokerError."""
        log = await self._watch.look(timeout_seconds=STATE_TIMEOUT_SECONDS)
        if log.last_sequence == self._log_end and self._is_started:
            return False
        purged_at = await self._log.last_sequence_of(PURGED, timeout_seconds=STATE_TIMEOUT_SECONDS)
        if purged_at > self._purged_at:
            await self._purge_at(purged_at)
        newest = await self._log.last_sequence_of(REQUESTED, timeout_seconds=STATE_TIMEOUT_SECONDS)
        if newest > self.last_sequence:
            return True
        if not self._is_started:
            self._note_beginning(log)
        self._is_started = True
        self._log_end = log.last_sequence
        self._moved.set()
        return False

    async def _read(self) -> None:
        """Reads to the log's end, and on while somebody waits for it."""
        async with LogReader(self._broker, self.last_sequence + 1, subjects=(REQUESTED,), watch=self._watch) as reader:
            async for messages in reader.to_the_end(BATCH_MESSAGES_MAX):
                self._apply(messages)
            if not self._is_started:
                # Asked after the reading: what had left the stream before it was read is then noticed.
                log = await self._broker.log_state(timeout_seconds=STATE_TIMEOUT_SECONDS)
                self._note_beginning(log)
            self._is_started = True
            self._moved.set()
            while (seconds := self._asked_at + OPEN_SECONDS - self._now()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        messages = await reader.batch(BATCH_MESSAGES_MAX)
                    self._apply(messages)
                    self._moved.set()

    async def _lacks_beginning(self, log: LogState) -> bool:
        """Whether earlier requests are in an archive: the stream begins later, and not with a purge."""
        if log.first_sequence <= 1:
            return False
        purged_at = await self._log.last_sequence_of(PURGED, timeout_seconds=STATE_TIMEOUT_SECONDS)
        return log.first_sequence > purged_at

    def _note_beginning(self, log: LogState) -> None:
        """When earlier requests have left the stream for an archive, every id may be a repeat of one of them."""
        if max(self._purged_at, 1) < log.first_sequence <= log.last_sequence:
            self._fill()
            self.recent_from = max(self.recent_from, log.first_sequence - 1)
            logger.info("the log begins at %d: the read model is asked about each payment", log.first_sequence)

    async def _pause(self) -> None:
        await set_within(self._asked, seconds_to_tick(POLL_SECONDS))
        self._asked.clear()

    def _apply(self, messages: Iterable[LogMessage]) -> None:
        for message in messages:
            if message.sequence > self.last_sequence:
                correlation_ids = _ids_in(message.payload)
                for correlation_id in correlation_ids:
                    self._note(correlation_id, message.sequence)
                self.last_sequence = message.sequence
                self.on_requests(message, correlation_ids)

    async def _purge_at(self, sequence: int) -> None:
        """Drops all ids. Those of requests after the purge are read again, because they may have been noted before."""
        event = await self._log.event_at(sequence, deadline=self._now() + STATE_TIMEOUT_SECONDS)
        self._purged_at = sequence
        if not isinstance(event, LedgerPurged):
            logger.error(
                "message %d of the log is no valid event, so it purges nothing",
                sequence,
                extra=about(event="message_set_aside", sequence=sequence),
            )
            return
        self._known_ids.clear()
        self._is_filled = False
        self._recent.clear()
        self.last_sequence = self.recent_from = sequence

    def _note(self, correlation_id: str, sequence: int) -> None:
        self._known_ids.add(correlation_id)
        self._recent[correlation_id] = sequence
        if len(self._recent) > RECENT_MAX:
            _, dropped = self._recent.popitem(last=False)
            self.recent_from = max(self.recent_from, dropped)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _until_moved(self) -> None:
        self._moved.clear()
        await self._moved.wait()


def _ids_in(payload: bytes) -> list[str]:
    """The ids in a message, also in one that is not valid: each of those costs one needless lookup."""
    return [one.decode() for one in _ID.findall(payload)]
