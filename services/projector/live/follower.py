"""Applies the log to the store in micro-batches, and lets queries wait for a position."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from tollgate.contract.events import Event, LedgerPurged, PaymentRequested
from tollgate.contract.known_ids import KNOWN_EVENTS_MAX, KnownPayment
from tollgate.contract.log_mark import LogMark
from tollgate.contract.payment_state import Open, PaymentState
from tollgate.contract.read_model_api import PaymentStatus, PaymentView
from tollgate.messaging.connection import Broker
from tollgate.messaging.log_reader import LogMessage, LogReader
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.validity import valid_events
from tollgate.projector.live.ended_payment import EndedPayment
from tollgate.projector.live.known_filter import KnownFilter
from tollgate.projector.live.open_snapshot import OpenSnapshot, SnapshotWriter
from tollgate.projector.live.projection import (
    RECENTLY_ENDED_MAX,
    Change,
    EndedAs,
    Projection,
    RejectedRow,
    SettledRow,
    Unread,
)
from tollgate.projector.live.store import Checkpoint, Store
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.log_fields import about
from tollgate.runtime.tasks import end, set_within
from tollgate.runtime.ticks import seconds_to_tick

logger = logging.getLogger(__name__)

BATCH_MESSAGES_MAX = 3_000
"""Messages of a commit: at EVENTS_MAX events each fewer rows than ROWS_IN_LOG_MAX."""
STATE_TIMEOUT_SECONDS = 30.0
LINGER_SECONDS = 0.5
"""The pause between two reads of the log; a waiting query ends it, and is served as soon as the messages arrive.

A commit syncs the disk on which the broker syncs for each acknowledgement, and delays it. Single deliveries cost broker
and projector more CPU than batches of hundreds.
"""
IDLE_SECONDS = 1.0
"""The pause after the log had nothing to read."""
UNCOMMITTED_EVENTS_MAX = 50_000
"""A checkpoint is committed after this many events without a row, so that a restart does not read them again."""


class Observer(Protocol):
    """Is told of each change of the rows, with the time at which the broker stored its event, and of each commit.

    `seconds` is how long the commit took.
    """

    def applied(self, change: Change, stored_at_us: int) -> None: ...

    def committed(self, seconds: float) -> None: ...


class Follower:
    """The only writer of the read model. `projection` and `store` together hold everything up to `position`."""

    def __init__(
        self,
        broker: Broker,
        store: Store,
        watch: LogWatch,
        snapshots: SnapshotWriter,
        *,
        known_filter: KnownFilter,
        snapshot: OpenSnapshot | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._broker = broker
        self._observer = observer
        self._store = store
        self.watch = watch
        self._snapshots = snapshots
        self.known_filter = known_filter
        # In an older one, all payments have ended since.
        if snapshot is not None and snapshot.mark.sequence < store.checkpoint.replay_from:
            snapshot = None
        start = store.checkpoint.replay_from if snapshot is None else snapshot.mark.sequence + 1
        self._reader = LogReader(broker, start, watch=watch)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._uncommitted: dict[str, SettledRow | RejectedRow] = {}
        self._changes: list[Change] = []
        self._asked = asyncio.Event()
        self._waiting = 0
        self.in_step = asyncio.Lock()
        """Held while the projection is ahead of the store: its holder finds both at the same position."""
        self._moved = asyncio.Condition()
        self._copying = asyncio.Lock()
        self._checkpointed = store.checkpoint.position
        self._read = start - 1
        self._read_stored_at_us: int | None = None if snapshot is None else snapshot.mark.stored_at_us
        self.position = start - 1
        self.moved_at = time.monotonic()
        """When `position` last changed."""
        self.projection = Projection(
            self._ended_as, store.recently_ended(RECENTLY_ENDED_MAX), before_change=snapshots.keep
        )
        if snapshot is not None:
            self.projection.restore(snapshot.open)
            # Their requests are not read again.
            for correlation_id in self.projection.open:
                known_filter.add(correlation_id)
        logger.info("reading the log from %d on; %d open payments are known", start, len(self.projection.open))
        self.poison_events = 0
        """Count of messages set aside because they are not valid."""

    async def run(self) -> None:
        """Follows the log until cancelled; uncommitted events are read again at the next start.

        Raises LogChangedError when the log is not the one that was read.
        """
        filling = asyncio.ensure_future(
            self.known_filter.run(self._store.ids_after, lambda: self._store.checkpoint.position)
        )
        snapshotting = asyncio.ensure_future(self._snapshots.run())
        try:
            while True:
                if snapshotting.done():
                    snapshotting.result()
                self._asked.clear()
                if is_behind := self._waiting or await self._is_behind():
                    await self._read_to_the_end()
                await self._linger(LINGER_SECONDS if is_behind else IDLE_SECONDS)
        finally:
            await end(snapshotting)
            await end(filling)
            self._thread.shutdown()

    async def _is_behind(self) -> bool:
        """Whether the log may have messages that were not read. Raises LogChangedError.

        One question costs projector and broker less than a consumer, which an idle stack would make and unmake twice a
        second.
        """
        try:
            log = await (self.watch.look() if self.watch.is_due else self.watch.ends())
        except BrokerError:
            # The reader waits for the broker, and reports what is wrong.
            return True
        return log.last_sequence > self._read

    async def _read_to_the_end(self) -> None:
        """Applies what the log has, and on while a query waits for more."""
        async with self._reader as reader:
            async for messages in reader.to_the_end(BATCH_MESSAGES_MAX):
                await self._carry(messages)
            while self._waiting:
                await self._carry(await reader.batch(BATCH_MESSAGES_MAX))

    async def reached(self, sequence: int) -> None:
        """Waits until the read model holds everything up to `sequence`."""
        self._waiting += 1
        try:
            while self.position < sequence:
                self._asked.set()
                async with self._moved:
                    await self._moved.wait()
        finally:
            self._waiting -= 1

    async def moved(self) -> None:
        """Waits until `position` changes."""
        position = self.position
        await self.reached(position + 1)

    async def copy_to(self, target: Path) -> int:
        """Copies the read model's file as of a commit. Returns the position up to which the copy is complete.

        Commits go on while the file is copied; only the write-ahead log is copied between two of them.
        """
        run = asyncio.get_running_loop().run_in_executor
        async with self._copying:
            await run(self._thread, self._store.begin_copy)
            try:
                await run(None, self._store.copy_file, target)
            finally:
                position = self.position
                await run(self._thread, self._store.end_copy, target)
        return position

    def payment(self, correlation_id: str) -> PaymentView | None:
        """The state of a payment; None when the read model has no such payment. Blocks for a lookup in the store.

        The lookups follow the order in which a payment moves, so that one that moves meanwhile is found.
        """
        if (payment := self.projection.open.get(correlation_id)) is not None:
            state = _state(payment.payment_state)
            return PaymentView(correlation_id, payment.amount_cents, state, payment.sequences, payment.doubt())
        if (ended := self._ended(correlation_id)) is not None:
            return PaymentView(correlation_id, ended.amount_cents, ended.how, list(ended.sequences))
        return None

    def known(self, correlation_ids: Sequence[str]) -> dict[str, KnownPayment]:
        """Those of the payments that the read model has. Blocks for lookups in the store."""
        found = ((one, self._known(one)) for one in correlation_ids)
        return {one: known for one, known in found if known is not None}

    def _known(self, correlation_id: str) -> KnownPayment | None:
        if (payment := self.projection.open.get(correlation_id)) is not None:
            first, *events = payment.sequences
            few = tuple(events) if len(events) <= KNOWN_EVENTS_MAX else None
            return KnownPayment(first, payment.amount_cents, events=few)
        if (ended := self._ended(correlation_id)) is not None:
            first, last = ended.sequences[0], ended.sequences[-1]
            return KnownPayment(first, ended.amount_cents, ended.how, last, ended.provider)
        return None

    def _ended(self, correlation_id: str) -> EndedPayment | None:
        match self._uncommitted.get(correlation_id):
            case SettledRow() as row:
                return EndedPayment("processed", row.amount_cents, row.provider, row.sequences)
            case RejectedRow() as row:
                return EndedPayment("rejected", row.amount_cents, None, row.sequences)
            case _:
                return self._store.ended(correlation_id)

    def _ended_as(self, correlation_id: str) -> EndedAs | None:
        row = self._uncommitted.get(correlation_id)
        if isinstance(row, SettledRow):
            return "settled"
        # A payment that was rejected first may have been settled since.
        match self._store.ended(correlation_id):
            case EndedPayment("processed"):
                return "settled"
            case None if row is None:
                return None
            case _:
                return "rejected"

    async def _carry(self, messages: list[LogMessage]) -> None:
        async with self.in_step:
            await self._note_unread(messages)
            self._apply(messages)
            await self._commit()

    async def _note_unread(self, messages: list[LogMessage]) -> None:
        """Records gaps between messages: the broker skips a message that it can no longer read, without an error."""
        before = [self._read, *(message.sequence for message in messages)]
        skipped = [(one + 1, other - 1) for one, other in pairwise(before) if other > one + 1]
        if not skipped:
            return
        # What lies before the log's beginning was purged.
        begin = (await self._broker.log_state(timeout_seconds=STATE_TIMEOUT_SECONDS)).first_sequence
        begin = max(begin, self._store.checkpoint.position + 1)
        for first, last in skipped:
            if last >= begin:
                logger.error(
                    "messages %d to %d of the log cannot be read (docs/how-to/damaged-log.md)",
                    *(max(first, begin), last),
                    extra=about(event="messages_unreadable", sequence=max(first, begin)),
                )
                self._changes.append(Unread(max(first, begin), last))

    def _apply(self, messages: list[LogMessage]) -> None:
        for message in messages:
            self._read, self._read_stored_at_us = message.sequence, message.stored_at_us
            events = valid_events(message.sequence, message.subject, message.payload)
            if events is None:
                self.poison_events += 1
                continue
            is_replay = message.sequence <= self._store.checkpoint.position
            for event in events:
                self._note_id(event, is_replay=is_replay)
                change = self.projection.apply(message.sequence, event, message.stored_at_us, is_replay=is_replay)
                if change is not None and not is_replay:
                    self._remember(change)
                    if self._observer is not None:
                        self._observer.applied(change, message.stored_at_us)

    def _note_id(self, event: Event, *, is_replay: bool) -> None:
        if isinstance(event, PaymentRequested):
            self.known_filter.add(event.correlation_id)
        elif isinstance(event, LedgerPurged) and not is_replay:
            self.known_filter.clear()
            self._snapshots.give_up()

    def mark(self) -> LogMark | None:
        """The last message that was applied; None if it is not known when it was stored."""
        stored_at_us, checkpoint = self._read_stored_at_us, self._store.checkpoint
        if stored_at_us is None and checkpoint.position == self._read:
            stored_at_us = checkpoint.stored_at_us
        if stored_at_us is None or self.watch.mark is None:
            return None
        return LogMark(self.watch.mark.identity, self._read, stored_at_us, self._read)

    def _remember(self, change: Change) -> None:
        self._changes.append(change)
        if isinstance(change, SettledRow | RejectedRow):
            self._uncommitted[change.correlation_id] = change
        else:
            self._uncommitted.clear()

    async def _linger(self, seconds: float) -> None:
        await set_within(self._asked, seconds_to_tick(seconds))

    async def _commit(self) -> None:
        self._asked.clear()
        if self._changes or self._read - self._checkpointed > UNCOMMITTED_EVENTS_MAX:
            oldest = self.projection.oldest_open_sequence()
            replay_from = self._read + 1 if oldest is None else oldest
            before = self._store.checkpoint
            if self._read > before.position:
                checkpoint = Checkpoint(self._read, replay_from, self._read_stored_at_us)
            else:
                checkpoint = Checkpoint(before.position, replay_from, before.stored_at_us)
            loop = asyncio.get_running_loop()
            began = time.monotonic()
            await loop.run_in_executor(self._thread, self._store.commit, self._changes, checkpoint)
            seconds = time.monotonic() - began
            self._checkpointed = self._read
            if self._read == checkpoint.position:
                self._snapshots.begin_if_due(checkpoint, self.projection.open)
            self._changes = []
            self._uncommitted = {}
            if self._observer is not None:
                self._observer.committed(seconds)
        if self.position != self._read:
            self.position, self.moved_at = self._read, time.monotonic()
        async with self._moved:
            self._moved.notify_all()


def _state(payment_state: PaymentState) -> PaymentStatus:
    match payment_state:
        case Open(in_doubt=in_doubt):
            return "in_doubt" if in_doubt else "routed"
        case _:
            return "pending"
