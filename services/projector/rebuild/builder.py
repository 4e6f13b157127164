"""Builds a new read model from the whole log; messages that are not valid are set aside, as in the live one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tollgate.archive.folder import Archive
from tollgate.archive.whole_log import in_batches
from tollgate.messaging.bulk_log_reader import Batch, BulkReader
from tollgate.messaging.connection import Broker
from tollgate.messaging.stored_message import StoredMessage
from tollgate.messaging.validity import valid_events
from tollgate.projector.live.open_snapshot import SNAPSHOT_MESSAGES_MIN, SnapshotWriter
from tollgate.projector.live.projection import EndedAs, Unread
from tollgate.projector.live.store import Checkpoint
from tollgate.projector.rebuild.bulk_projection import BulkProjection, Rows
from tollgate.projector.rebuild.bulk_store import BulkStore
from tollgate.projector.rebuild.plain_lines import Stretch
from tollgate.projector.rebuild.store_process import StoreProcess
from tollgate.runtime.errors import FatalError, UnreadableMessageError

STATE_SECONDS = 30.0
ROWS_AT_ONCE = 8_192
"""About so many rows are inserted at once."""


@dataclass(frozen=True, slots=True)
class Built:
    """The new file holds everything up to `position`; `messages` were read, `poison_events` of them set aside."""

    position: int
    messages: int
    poison_events: int


async def build(
    broker: Broker,
    path: Path,
    log_identity: str,
    on_progress: Callable[[int, int], None],
    *,
    missing_accepted: int = 0,
    archive: Archive | None = None,
    filter_bytes: int = 0,
    process: StoreProcess | None = None,
) -> Built:
    """Writes the file, up to an end of the log at a time after all earlier messages were read.

    `broker` is a separate connection. What is in the `archive` is read from there, and the rest from the stream.
    Beside the file a filter of ids of `filter_bytes` is written, unless that is 0. With a `process`, that one writes.
    `on_progress` receives the counts of messages read and of messages that remain.
    Raises FatalError when the log is replaced meanwhile, or when more than `missing_accepted` of its messages cannot be
    read.
    """
    opened = (
        BulkStore(path, log_identity, filter_bytes=filter_bytes)
        if process is None
        else process.open(path, log_identity, filter_bytes)
    )
    with closing(opened) as bulk_store:
        snapshots = SnapshotWriter(path, log_identity, 0, messages_min=SNAPSHOT_MESSAGES_MIN)
        building = _Building(bulk_store, broker, missing_accepted, archive)
        return await building.run(log_identity, on_progress, snapshots)


class _Building:
    """One build. A thread writes one batch of rows while the next is read and projected; at most one batch waits."""

    def __init__(
        self,
        bulk_store: BulkStore | StoreProcess,
        broker: Broker,
        missing_accepted: int,
        archive: Archive | None = None,
    ) -> None:
        self._archive = archive
        self._broker = broker
        self._missing_accepted = missing_accepted
        self._unread: list[Unread] = []
        self._stored_at_us: int | None = None
        self._bulk_store = bulk_store
        self._projection = BulkProjection(self._ended_as, valid_events)
        self._writing_rows = Rows()
        self._position = 0
        self._messages = 0

    async def run(self, log_identity: str, on_progress: Callable[[int, int], None], snapshots: SnapshotWriter) -> Built:
        with ThreadPoolExecutor(1, thread_name_prefix="bulk-writer") as thread:
            loop = asyncio.get_running_loop()
            writing: asyncio.Future[None] = loop.create_future()
            writing.set_result(None)
            end = (await self._broker.log_state(timeout_seconds=STATE_SECONDS)).last_sequence
            if self._archive is not None:
                async for archived in in_batches(self._archive.messages(1, self._archive.last_sequence)):
                    self._apply_archived(archived)
                    on_progress(self._messages, end - self._position)
                    if len(self._projection.rows.settled) >= ROWS_AT_ONCE:
                        await writing
                        self._writing_rows = self._projection.take()
                        writing = loop.run_in_executor(thread, self._bulk_store.write, self._writing_rows)
            async with BulkReader(self._broker, self._position + 1) as reader:
                while (batch := await self._read(reader)).sequences:
                    await self._check_gaps([self._position, *batch.sequences])
                    self._apply(batch)
                    on_progress(self._messages, batch.pending)
                    if len(self._projection.rows.settled) >= ROWS_AT_ONCE or batch.pending == 0:
                        await writing
                        self._writing_rows = self._projection.take()
                        writing = loop.run_in_executor(thread, self._bulk_store.write, self._writing_rows)
                    if batch.pending == 0:
                        break
            await writing
            if self._position < end:
                await self._check_gaps([self._position, end + 1])
            state = await self._broker.log_state(timeout_seconds=STATE_SECONDS)
            if state.identity != log_identity:
                raise FatalError("the log was replaced by another while it was read")
            # Nothing can be read of an emptied log, and everything before its beginning was read.
            position = self._position or max(state.first_sequence - 1, 0)
            oldest = self._projection.oldest_open_sequence()
            checkpoint = Checkpoint(position, position + 1 if oldest is None else oldest, self._stored_at_us)
            await loop.run_in_executor(thread, self._bulk_store.finish, checkpoint, self._unread)
            await loop.run_in_executor(thread, snapshots.write_if_due, checkpoint, self._projection.open_payments())
        return Built(position, self._messages, self._projection.poison_events)

    async def _read(self, reader: BulkReader) -> Batch:
        """The next messages; empty when no more can be read."""
        try:
            return await reader.batch()
        except UnreadableMessageError:
            return Batch()

    async def _check_gaps(self, sequences: list[int]) -> None:
        """Raises FatalError when more messages are lost than accepted; those before the log's beginning are purged."""
        if sequences[-1] - sequences[0] == len(sequences) - 1:
            return
        begin = (await self._broker.log_state(timeout_seconds=STATE_SECONDS)).first_sequence
        for one, other in pairwise(sequences):
            if other > one + 1 and other > begin:
                self._unread.append(Unread(max(one + 1, begin), other - 1))
        missing = sum(one.last_sequence - one.first_sequence + 1 for one in self._unread)
        if missing > self._missing_accepted:
            first = self._unread[0]
            raise FatalError(
                f"messages {first.first_sequence} to {first.last_sequence} of the log cannot be read: the broker has"
                f" lost them; the read model stays as it was (docs/how-to/damaged-log.md)"
            )

    def _apply_archived(self, messages: list[StoredMessage]) -> None:
        columns = [[one.sequence, one.subject, one.payload, one.stored_at_us] for one in messages]
        self._projection.apply(Stretch(*map(list, zip(*columns, strict=True))))
        self._position, self._stored_at_us = messages[-1].sequence, messages[-1].stored_at_us
        self._messages += len(messages)

    def _apply(self, batch: Batch) -> None:
        stored_at_us = [stored_at_ns // 1000 for stored_at_ns in batch.stored_at_ns]
        self._projection.apply(Stretch(batch.sequences, batch.subjects, batch.payloads, stored_at_us))
        self._position, self._stored_at_us = batch.sequences[-1], batch.stored_at_ns[-1] // 1000
        self._messages += len(batch.sequences)

    def _ended_as(self, correlation_id: str) -> EndedAs | None:
        known = self._writing_rows.ended_as(correlation_id)
        if known == "settled" or self._writing_rows.purged_at is not None:
            return known
        before = self._bulk_store.ended_as(correlation_id)
        return before if before == "settled" else known or before
