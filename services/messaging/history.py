"""Reads single messages and stretches of the log, and finds the sequence at a time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tollgate.messaging.connection import Broker
from tollgate.messaging.log_reader import LogMessage, LogReader
from tollgate.messaging.stored_message import StoredMessage, get_message
from tollgate.runtime.errors import BrokerError

REQUEST_SECONDS = 5.0
SILENCE_SECONDS_MAX = 30.0
"""The longest pause while messages that exist are delivered."""
LOOK_SECONDS = 5.0
"""After such a pause, the broker is asked whether the next message exists."""
SHOWN_MAX = 10
BATCH_MESSAGES_MAX = 5_000


async def message_at(broker: Broker, sequence: int) -> StoredMessage | None:
    """The message at that sequence; None when there is none. Raises BrokerUnavailableError."""
    return await get_message(broker, {"seq": sequence}, timeout_seconds=REQUEST_SECONDS)


async def next_of_subject(broker: Broker, subject: str, sequence: int) -> StoredMessage | None:
    """The first message under the subject from that sequence on; None when there is none.

    Raises BrokerUnavailableError.
    """
    wanted = {"seq": sequence, "next_by_subj": subject}
    return await get_message(broker, wanted, timeout_seconds=REQUEST_SECONDS)


async def sequence_at(broker: Broker, moment_us: int) -> int:
    """The sequence of the first message that was stored at `moment_us` or later; the log's end + 1 if none was.

    A binary search with some twenty single reads. Raises BrokerUnavailableError.
    """
    log = await broker.log_state(timeout_seconds=REQUEST_SECONDS)
    low, high = max(log.first_sequence, 1), log.last_sequence + 1
    while low < high:
        middle = (low + high) // 2
        message = await message_at(broker, middle)
        # A message that was purged meanwhile is older than the remaining ones.
        if message is None or message.stored_at_us < moment_us:
            low = middle + 1
        else:
            high = middle
    return low


@dataclass(slots=True)
class Unread:
    """The stretches of the log that could not be read, as (first, last) with both ends included."""

    stretches: list[tuple[int, int]] = field(default_factory=list)

    def add(self, first_sequence: int, last_sequence: int) -> None:
        """Adds a stretch, unless it is empty."""
        if first_sequence <= last_sequence:
            self.stretches.append((first_sequence, last_sequence))

    @property
    def messages(self) -> int:
        """How many messages could not be read."""
        return sum(last - first + 1 for first, last in self.stretches)

    def __str__(self) -> str:
        shown = [f"{first}" if first == last else f"{first} to {last}" for first, last in self.stretches[:SHOWN_MAX]]
        more = len(self.stretches) - len(shown)
        return ", ".join([*shown, *([f"and {more} more stretches"] if more else [])])


async def stretch(
    broker: Broker, first_sequence: int, last_sequence: int, unread: Unread | None = None
) -> AsyncIterator[list[StoredMessage]]:
    """The messages from one sequence to another, both inclusive, in batches.

    The broker skips a message that it has lost without an error; the skipped ones are added to `unread`. Raises
    BrokerError when nothing arrives for SILENCE_SECONDS_MAX.
    """
    log = await broker.log_state(timeout_seconds=REQUEST_SECONDS)
    unread = Unread() if unread is None else unread
    # The ends of an empty log are both 0.
    first_sequence = max(first_sequence, log.first_sequence, 1)
    last_sequence = min(last_sequence, log.last_sequence)
    async with LogReader(broker, first_sequence) as reader:
        while first_sequence <= last_sequence:
            messages = await _next(broker, reader, first_sequence)
            wanted = [one for one in messages if one.sequence <= last_sequence]
            for one in wanted:
                unread.add(first_sequence, one.sequence - 1)
                first_sequence = one.sequence + 1
            yield [StoredMessage(one.sequence, one.subject, one.payload, one.stored_at_us) for one in wanted]
            if not messages or messages[-1].sequence >= last_sequence:
                unread.add(first_sequence, last_sequence)
                return


async def _next(broker: Broker, reader: LogReader, sequence: int) -> list[LogMessage]:
    """The next messages, the first of which should have that sequence; none when they are lost up to the log's end."""
    for _ in range(int(SILENCE_SECONDS_MAX / LOOK_SECONDS)):
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await reader.batch(BATCH_MESSAGES_MAX)
        except TimeoutError:
            if await message_at(broker, sequence) is None:
                return []
    raise BrokerError(f"the log cannot be read from {sequence} on: nothing arrived for {SILENCE_SECONDS_MAX:.0f} s")
