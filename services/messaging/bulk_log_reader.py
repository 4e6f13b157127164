"""Reads a long stretch of the log in batches, several times faster than message by message.

Connection, login and reconnecting are nats-py's, but its parser is replaced by one that extracts the log's messages
from the received bytes, without an object and a task switch for each. All other frames are parsed by nats-py.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import nats.errors
import orjson
from nats.aio.msg import Msg
from nats.protocol.parser import Parser

from tollgate.contract.subjects import STREAM
from tollgate.messaging.acks import parse_ack_subject
from tollgate.messaging.connection import TRANSIENT_ERRORS, Broker
from tollgate.messaging.jetstream_api import consumer_api
from tollgate.messaging.stored_message import get_message
from tollgate.runtime.errors import BrokerError, UnreadableMessageError

logger = logging.getLogger(__name__)

BATCH_MESSAGES = 4_096
BATCH_BYTES = 1024 * 1024
"""Received bytes: a message may hold many events."""
BATCHES_AHEAD = 2
SILENCE_SECONDS_MAX = 3.0
"""Without a batch for so long, the consumer is made anew."""
API_TIMEOUT_SECONDS = 5.0
_PATIENCE_SECONDS = 0.5
_HEARTBEAT_NS = 1_000_000_000
_INACTIVE_NS = 5_000_000_000
_TOKENS, _SEQUENCE_TOKEN = 9, 5
"""Tokens of a reply subject, and the index of the log's sequence; newer servers add two after ACK (acks.py)."""


@dataclass(slots=True)
class Batch:
    """Messages in the log's order, as one list per property, all of the same length."""

    sequences: list[int] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    stored_at_ns: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    last_consumer_sequence: int = 0
    pending: int = 0
    """How many messages the log held after the last one, when that was sent."""


class BulkReader:
    """Delivers the log from `start_sequence` on in batches, each message once, in order, without a gap.

    It needs a connection of its own.
    """

    def __init__(self, broker: Broker, start_sequence: int) -> None:
        self._broker = broker
        self._next_sequence = max(start_sequence, 1)
        self._delivered = 0
        self._consumer: contextlib.AsyncExitStack | None = None
        self._parser = _BulkParser(broker.client)

    async def __aenter__(self) -> Self:
        self._parser.take_over()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def batch(self) -> Batch:
        """The next messages; an empty batch when the log has no more. Waits for the broker without a bound.

        Raises UnreadableMessageError when the broker cannot deliver the next message.
        """
        while True:
            try:
                if self._consumer is None and not await self._open():
                    return Batch()
                if (batch := await self._next()) is None:
                    await self._check_next()
                    raise TimeoutError("silence")
            except UnreadableMessageError:
                raise
            except (*TRANSIENT_ERRORS, BrokerError, nats.errors.Error, OSError) as error:
                logger.info("reading the log is interrupted: %s", error or type(error).__name__)
                await self._close()
                await self._broker.connected()
                continue
            if self._delivered + len(batch.sequences) == batch.last_consumer_sequence:
                self._delivered = batch.last_consumer_sequence
                self._next_sequence = batch.sequences[-1] + 1
                return batch
            logger.info("messages of the log are missing; reading it again from %d", self._next_sequence)
            await self._close()

    async def _next(self) -> Batch | None:
        """The next batch, or after SILENCE_SECONDS_MAX the part of it that has arrived; None if nothing has."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS_MAX):
                return await self._parser.batches.get()
        except TimeoutError:
            # The broker also counts messages that it cannot deliver, so the last batch may never be full.
            return self._parser.take_part()

    async def _check_next(self) -> None:
        log = await self._broker.log_state(timeout_seconds=API_TIMEOUT_SECONDS)
        if not log.first_sequence <= self._next_sequence <= log.last_sequence:
            return
        wanted = {"seq": self._next_sequence}
        if await get_message(self._broker, wanted, timeout_seconds=API_TIMEOUT_SECONDS) is None:
            raise UnreadableMessageError(self._next_sequence, log.last_sequence, "no message found")

    async def _open(self) -> bool:
        """Creates a consumer. Returns False when there is nothing for it to deliver."""
        client = self._broker.client
        inbox = client.new_inbox()

        async def on_control(message: Msg) -> None:
            reply = message.reply or (message.headers or {}).get("Nats-Consumer-Stalled")
            if reply:
                await client.publish(reply)

        async with contextlib.AsyncExitStack() as stack:
            subscription = await client.subscribe(inbox, cb=on_control)
            stack.push_async_callback(_forgivingly, subscription.unsubscribe)
            self._parser.collect(subscription._id)  # noqa: SLF001 - the id in the broker's frames
            stack.callback(self._parser.drop)
            name = inbox.rpartition(".")[2]
            answer = await self._broker.request(
                consumer_api("CREATE", name),
                orjson.dumps({"stream_name": STREAM, "config": _config(name, inbox, self._next_sequence)}),
                timeout_seconds=API_TIMEOUT_SECONDS,
            )
            if "error" in answer:
                raise BrokerError(f"no consumer of the log: {answer['error'].get('description')}")
            stack.push_async_callback(_forgivingly, client.publish, consumer_api("DELETE", name), b"")
            if answer["num_pending"] == 0 and answer["delivered"]["consumer_seq"] == 0:
                return False
            self._delivered = 0
            self._consumer = stack.pop_all()
        return True

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.aclose()


class _BulkParser(Parser):
    """Collects the messages of one subscription in batches; passes all other frames, each whole, to nats-py."""

    def __init__(self, client: Any) -> None:
        self._subscription: bytes | None = None
        self._batch = Batch()
        self._batch_bytes = 0
        self.batches: asyncio.Queue[Batch] = asyncio.Queue(BATCHES_AHEAD)
        super().__init__(client)

    def take_over(self) -> None:
        """Replaces the client's own parser, and takes over the bytes that it had not parsed yet."""
        own = self.nc._ps  # noqa: SLF001
        self._rest = bytes(own.buf)
        self.nc._ps = self  # noqa: SLF001

    def collect(self, subscription: int) -> None:
        """Starts collecting the messages of this subscription."""
        self._subscription = str(subscription).encode()

    def drop(self) -> None:
        """Stops collecting and drops the collected messages. Other frames are still parsed."""
        self._subscription = None
        self._batch, self._batch_bytes = Batch(), 0
        while not self.batches.empty():
            self.batches.get_nowait()

    def take_part(self) -> Batch | None:
        """The messages of a batch that is not full; None if there are none."""
        batch, self._batch, self._batch_bytes = self._batch, Batch(), 0
        return batch if batch.sequences else None

    def reset(self) -> None:
        self._rest = b""
        super().reset()

    async def parse(self, data: bytes = b"") -> None:
        """Called by nats-py with the received bytes; waits while BATCHES_AHEAD batches are not taken."""
        buffer = self._rest + data
        size, position = len(buffer), 0
        subscription, batch = self._subscription, self._batch
        reply = b""
        while (line_end := buffer.find(b"\r\n", position)) >= 0:
            words = buffer[position:line_end].split(b" ")
            kind = words[0]
            begin = end = line_end + 2
            if kind in (b"HMSG", b"MSG"):
                end = begin + int(words[-1]) + 2
                if end > size:
                    break
                if words[2] == subscription and not buffer.startswith(b"NATS/1.0 ", begin):
                    reply = words[3]
                    tokens = reply.split(b".")
                    first = _SEQUENCE_TOKEN if len(tokens) == _TOKENS else _SEQUENCE_TOKEN + 2
                    batch.sequences.append(int(tokens[first]))
                    batch.subjects.append(words[1].decode())
                    batch.stored_at_ns.append(int(tokens[first + 2]))
                    batch.payloads.append(buffer[begin + int(words[-2]) if kind == b"HMSG" else begin : end - 2])
                    position = end
                    continue
            await super().parse(buffer[position:end])
            position = end
        self._rest = buffer[position:]
        if reply:
            info = parse_ack_subject(reply.decode())
            batch.last_consumer_sequence, batch.pending = info.consumer_sequence, info.pending
            self._batch_bytes += position
            await self._hand_over()

    async def _hand_over(self) -> None:
        batch = self._batch
        is_full = len(batch.sequences) >= BATCH_MESSAGES or self._batch_bytes >= BATCH_BYTES
        if batch.sequences and (is_full or batch.pending == 0):
            self._batch, self._batch_bytes = Batch(), 0
            putting = asyncio.ensure_future(self.batches.put(batch))
            while not (await asyncio.wait((putting,), timeout=_PATIENCE_SECONDS))[0]:
                # The missing pongs are unread, after this batch: the connection is not stale, we are slow.
                self.nc._pings_outstanding = 0  # noqa: SLF001


def _config(name: str, inbox: str, start_sequence: int) -> dict[str, Any]:
    return {
        "name": name,
        "deliver_subject": inbox,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": start_sequence,
        "ack_policy": "none",
        "max_deliver": 1,
        "flow_control": True,
        "idle_heartbeat": _HEARTBEAT_NS,
        "inactive_threshold": _INACTIVE_NS,
        "mem_storage": True,
        "num_replicas": 1,
    }


async def _forgivingly(step: Any, *arguments: Any) -> None:
    """Runs a cleanup step and ignores its failure: the broker removes an inactive consumer by itself."""
    with contextlib.suppress(nats.errors.Error, OSError):
        await step(*arguments)
