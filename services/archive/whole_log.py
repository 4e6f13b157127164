"""Archive and stream as one log: what is archived comes from the archive, everything after it from the stream."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tollgate.archive.errors import ArchiveError
from tollgate.archive.folder import Archive, open_archive
from tollgate.contract.log_mark import LogState
from tollgate.contract.subjects import PURGED
from tollgate.messaging import history
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import Unread
from tollgate.messaging.sequence_at_time import log_end_at
from tollgate.messaging.stored_message import StoredMessage
from tollgate.runtime.errors import FatalError


@dataclass(frozen=True, slots=True)
class WholeLog:
    """The log of one broker, with the archive of its earlier stretches; both were found to belong together."""

    broker: Broker
    archive: Archive | None = None

    async def stretch(
        self, first_sequence: int, last_sequence: int, unread: Unread | None = None
    ) -> AsyncIterator[list[StoredMessage]]:
        """The messages between two sequences, both included, in batches; as `messaging.history.stretch`.

        Raises ArchiveError, too.
        """
        if self.archive is not None and first_sequence <= self.archive.last_sequence:
            async for batch in in_batches(self.archive.messages(first_sequence, last_sequence)):
                yield batch
            first_sequence = self.archive.last_sequence + 1
        if first_sequence <= last_sequence:
            async for batch in history.stretch(self.broker, first_sequence, last_sequence, unread):
                yield batch

    async def message_at(self, sequence: int) -> StoredMessage | None:
        """The message at that sequence; None if there is none. Raises BrokerUnavailableError and ArchiveError."""
        if self.archive is not None and self.archive.first_sequence <= sequence <= self.archive.last_sequence:
            batches = await asyncio.to_thread(lambda archive: list(archive.messages(sequence, sequence)), self.archive)
            return batches[0][0]
        return await history.message_at(self.broker, sequence)

    async def sequence_at(self, moment_us: int) -> int:
        """The sequence of the first message stored at `moment_us` or later; the log's end + 1 if none was."""
        if self.archive is not None and moment_us <= self.archive.last_stored_at_us:
            found = await asyncio.to_thread(self.archive.sequence_at, moment_us)
            if found is not None:
                return found
        return await history.sequence_at(self.broker, moment_us)


async def whole_log(broker: Broker, folder: Path | None, *, missing_accepted: int = 0) -> WholeLog:
    """The log from the archive in that folder, if one is named, and the broker's stream.

    Raises ArchiveError when the two are not one log, or when messages between them are in neither.
    """
    if folder is None:
        return WholeLog(broker)
    archive = await asyncio.to_thread(open_archive, folder)
    await check_joins(broker, archive, missing_accepted=missing_accepted)
    return WholeLog(broker, archive)


async def check_joins(
    broker: Broker, archive: Archive, *, missing_accepted: int = 0, is_restored: bool = False
) -> LogState:
    """The stream's state. Raises ArchiveError when the archive is not of this log, or does not reach it.

    `missing_accepted` is how many missing messages an operator has accepted. A stream that `is_restored` has another
    identity than the one that was archived.
    """
    log = await broker.log_state(timeout_seconds=history.REQUEST_SECONDS)
    missing = log.first_sequence - archive.last_sequence - 1
    if missing > missing_accepted and await lacks_beginning(broker, archive.last_sequence, log):
        held = f"ends at {archive.last_sequence}" if archive.stretches else "holds nothing"
        raise ArchiveError(
            f"the archive {archive.folder} {held}, and the log begins at {log.first_sequence}: what was before that is"
            " in neither"
        )
    if not archive.stretches:
        return log
    if not is_restored and not archive.is_of(log.identity):
        raise ArchiveError(f"{archive.folder} is the archive of another log than the broker's")
    if log.last_sequence < archive.last_sequence:
        raise ArchiveError(f"the log ends at {log.last_sequence}, and {archive.folder} at {archive.last_sequence}")
    if log.first_sequence <= archive.last_sequence:
        await _check_overlap(broker, archive)
    return log


async def check_complete(broker: Broker, folder: Path | None, log: LogState, *, missing_accepted: int = 0) -> None:
    """Raises FatalError when the beginning of the log has left the stream, and no archive is named.

    `missing_accepted` is how many missing messages an operator has accepted.
    """
    if folder is None and log.first_sequence - 1 > missing_accepted and await lacks_beginning(broker, 0, log):
        raise FatalError(
            f"the log begins at {log.first_sequence}, and what was before it is needed: set ARCHIVE_DIR to its archive"
            " (docs/how-to/archive.md)"
        )


async def lacks_beginning(broker: Broker, position: int, log: LogState) -> bool:
    """Whether messages after `position` have left the stream, and no purge made them void."""
    if position + 1 >= log.first_sequence:
        return False
    if log.first_sequence > log.last_sequence:
        # A purge of the ledger leaves its event in the stream, and a cut the newest request.
        return True
    first = await history.message_at(broker, log.first_sequence)
    return first is not None and first.subject != PURGED


async def in_batches(batches: Iterator[list[StoredMessage]]) -> AsyncIterator[list[StoredMessage]]:
    """The batches, each read in a thread."""
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        yield batch


async def _check_overlap(broker: Broker, archive: Archive) -> None:
    stored = await history.message_at(broker, archive.last_sequence)
    if stored is not None and stored.stored_at_us != archive.last_stored_at_us:
        raise ArchiveError(f"{archive.folder} is the archive of another log: its last message is another")


async def log_end_with_archive(broker: Broker, folder: Path | None, moment_us: int) -> int:
    """The sequence of the last message stored at or before the time, in the archive or in the stream.

    Below the log's first one if there was none. Raises BrokerError and ArchiveError.
    """
    position = await log_end_at(broker, moment_us)
    log = await broker.log_state(timeout_seconds=history.REQUEST_SECONDS)
    if position >= log.first_sequence:
        return position
    await check_complete(broker, folder, log)
    archive = (await whole_log(broker, folder)).archive
    if archive is None or not archive.stretches:
        return position
    found = await asyncio.to_thread(archive.sequence_at, moment_us + 1)
    return position if found is None else found - 1
