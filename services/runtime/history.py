"""Looking into the log: single messages, stretches of it, and where a moment lies."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from contract.stream import STREAM
from contract.timestamps import parse_us
from runtime.broker import Broker
from runtime.errors import BrokerError, BrokerUnavailableError
from runtime.jetstream_errors import MESSAGE_NOT_FOUND, error_code
from runtime.reader import LogReader

REQUEST_SECONDS = 5.0
SILENCE_SECONDS_MAX = 30.0
"""A stretch of the log that is there comes without such a pause."""
BATCH_MESSAGES_MAX = 5_000


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of the log."""

    sequence: int
    subject: str
    payload: bytes
    stored_at_us: int


async def message_at(broker: Broker, sequence: int) -> StoredMessage | None:
    """The message at that sequence; None when there is none. Raises BrokerUnavailableError."""
    return await _message(broker, {"seq": sequence})


async def next_of_subject(broker: Broker, subject: str, sequence: int) -> StoredMessage | None:
    """The first message under the subject from that sequence on; None when there is none.

    Raises BrokerUnavailableError.
    """
    return await _message(broker, {"seq": sequence, "next_by_subj": subject})


async def _message(broker: Broker, wanted: dict[str, object]) -> StoredMessage | None:
    answer = await broker.request(
        f"$JS.API.STREAM.MSG.GET.{STREAM}", orjson.dumps(wanted), timeout_seconds=REQUEST_SECONDS
    )
    if "error" not in answer:
        message: dict[str, Any] = answer["message"]
        payload = b64decode(message.get("data", ""))
        return StoredMessage(message["seq"], message["subject"], payload, parse_us(message["time"]))
    if error_code(answer) == MESSAGE_NOT_FOUND:
        return None
    raise BrokerUnavailableError(f"message {wanted} cannot be read: {answer['error'].get('description')}")


async def sequence_at(broker: Broker, moment_us: int) -> int:
    """The sequence of the first message that was stored at `moment_us` or later; the log's end + 1 if none was.

    Halves the log with some twenty single reads. Raises BrokerUnavailableError.
    """
    log = await broker.log_state(timeout_seconds=REQUEST_SECONDS)
    low, high = max(log.first_sequence, 1), log.last_sequence + 1
    while low < high:
        middle = (low + high) // 2
        message = await message_at(broker, middle)
        # One that was purged meanwhile was stored earlier than those that are left.
        if message is None or message.stored_at_us < moment_us:
            low = middle + 1
        else:
            high = middle
    return low


async def stretch(broker: Broker, first_sequence: int, last_sequence: int) -> AsyncIterator[list[StoredMessage]]:
    """The messages from one sequence to another, both inclusive, in batches.

    Raises BrokerError when nothing comes for SILENCE_SECONDS_MAX.
    """
    log = await broker.log_state(timeout_seconds=REQUEST_SECONDS)
    # Of an empty log both ends are 0.
    first_sequence = max(first_sequence, log.first_sequence, 1)
    last_sequence = min(last_sequence, log.last_sequence)
    if first_sequence > last_sequence:
        return
    async with LogReader(broker, first_sequence) as reader:
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS_MAX):
                    messages = await reader.batch(BATCH_MESSAGES_MAX)
            except TimeoutError:
                raise BrokerError(f"the log does not come: nothing for {SILENCE_SECONDS_MAX:.0f} s") from None
            wanted = [one for one in messages if one.sequence <= last_sequence]
            yield [StoredMessage(one.sequence, one.subject, one.payload, one.stored_at_us) for one in wanted]
            if messages[-1].sequence >= last_sequence:
                return
