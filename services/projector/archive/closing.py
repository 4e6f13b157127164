"""Closes stretches of the log: writes them to the archive, and compares what was written with the stream.

A stretch ends before the oldest open request, so every payment requested in it has ended. It may have ended after it:
the order of the log is kept, and readers take archive and stream as one.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from pathlib import Path

from tollgate.archive.errors import ArchiveError
from tollgate.archive.folder import Archive, begin_stretch, close_stretch, digest_of
from tollgate.archive.manifest import FILES, MESSAGES_FILE, Manifest
from tollgate.archive.parquet import MessagesWriter, read_messages
from tollgate.archive.whole_log import in_batches
from tollgate.contract.events import LedgerPurged, PaymentRequested
from tollgate.contract.log_mark import LogState
from tollgate.contract.subjects import PURGED, REQUESTED
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import Unread, stretch
from tollgate.messaging.log import Log
from tollgate.messaging.stored_message import StoredMessage
from tollgate.messaging.validity import valid_events
from tollgate.projector.archive.ended import EndedPayments

API_TIMEOUT_SECONDS = 5.0
STRETCH_BYTES_MAX = 64 * 1024 * 1024
"""A stretch ends with the messages that exceed it: its ids are held in memory, about 100 bytes for 160 of payload."""
CUT_SECONDS_MAX = 60.0


class Closing:
    """Closes stretches of `messages_min` to `messages_max` messages, one after the other."""

    def __init__(
        self, broker: Broker, ended: EndedPayments, log: LogState, *, messages_max: int, messages_min: int = 1
    ) -> None:
        self._messages_min = messages_min
        self._broker = broker
        self._ended = ended
        self._log = log
        self._messages_max = messages_max

    async def close_next(self, archive: Archive, end: int) -> Archive | None:
        """The archive with one stretch more, none of it from `end` on; None when there is nothing to close.

        Raises ArchiveError when a message cannot be read, a payment is open, or what was written differs.
        """
        first = archive.last_sequence + 1 if archive.stretches else self._log.first_sequence
        last = min(end - 1, first + self._messages_max - 1)
        if last - first + 1 < self._messages_min:
            return None
        folder = await asyncio.to_thread(begin_stretch, archive, first)
        messages = await self._write(folder, first, last)
        last = messages[1].sequence
        settled = await asyncio.to_thread(self._ended.write_settled, folder, first, last)
        await self._compare(folder, first, last)
        manifest = Manifest(
            self._log.identity,
            *(first, last, messages[0].stored_at_us, messages[1].stored_at_us, settled),
            {name: await asyncio.to_thread(digest_of, folder / name) for name in FILES},
            archive.head,
        )
        return await asyncio.to_thread(close_stretch, archive, folder, manifest)

    async def _write(self, folder: Path, first: int, last: int) -> tuple[StoredMessage, StoredMessage]:
        """Writes the messages, up to STRETCH_BYTES_MAX of payload. Returns the first and the last."""
        requested: set[str] = set()
        ends: list[StoredMessage] = []
        payload_bytes = 0
        with closing(MessagesWriter(folder)) as writer:
            async with aclosing(self._stream(first, last)) as stream:
                async for messages in stream:
                    ends = [(ends or messages)[0], messages[-1]]
                    await asyncio.to_thread(writer.add, messages)
                    for message in messages:
                        _note_requests(requested, message)
                        payload_bytes += len(message.payload)
                    if payload_bytes >= STRETCH_BYTES_MAX:
                        break
            await asyncio.to_thread(writer.finish)
        if (correlation_id := await asyncio.to_thread(self._ended.first_open, requested)) is not None:
            raise ArchiveError(f"payment {correlation_id}, requested between {first} and {last}, has not ended")
        return ends[0], ends[1]

    async def _compare(self, folder: Path, first: int, last: int) -> None:
        """Reads the written messages back, and compares each with the stream."""
        written = in_batches(read_messages(folder / MESSAGES_FILE, first, last))
        waiting: list[StoredMessage] = []
        more: list[StoredMessage]
        async for messages in self._stream(first, last):
            while len(waiting) < len(messages):
                if not (more := await anext(written, [])):
                    break
                waiting += more
            if waiting[: len(messages)] != messages:
                raise ArchiveError(f"what was written of the messages {first} to {last} differs from the stream")
            del waiting[: len(messages)]
        if waiting or await anext(written, []):
            raise ArchiveError(f"more was written than the messages {first} to {last} of the stream")

    async def _stream(self, first: int, last: int) -> AsyncGenerator[list[StoredMessage]]:
        """The messages of the stream between two sequences. Raises ArchiveError when one is missing."""
        unread, expected = Unread(), first
        async for messages in stretch(self._broker, first, last, unread):
            if messages and messages[0].sequence == expected and not unread.stretches:
                expected = messages[-1].sequence + 1
                yield messages
        if unread.stretches or expected != last + 1:
            missing = str(unread) if unread.stretches else f"{expected} to {last}"
            raise ArchiveError(
                f"messages {missing} of the log cannot be read, and a stretch is closed whole or not at all"
                " (docs/how-to/damaged-log.md)"
            )


async def end_of_closing(broker: Broker, ended: EndedPayments) -> int:
    """The sequence before which stretches may be closed: that of the oldest open request, or of the newest request.

    The newest request stays in the stream: gateways store the next ones after it. Raises BrokerUnavailableError.
    """
    newest = await Log(broker).last_sequence_of(REQUESTED, timeout_seconds=API_TIMEOUT_SECONDS)
    return min(ended.replay_from(), newest)


def _note_requests(requested: set[str], message: StoredMessage) -> None:
    # An event counts only under its own subject: most messages need not be decoded.
    if message.subject not in (REQUESTED, PURGED):
        return
    for event in valid_events(message.sequence, message.subject, message.payload) or ():
        match event:
            case PaymentRequested():
                requested.add(event.correlation_id)
            case LedgerPurged():
                requested.clear()
            case _:
                pass
