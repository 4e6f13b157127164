"""Reads the log in order for the lifetime of a service.

It does not use nats-py's ordered consumer, which detects a gap only when the next message arrives. When the server
restarts and loses the (memory-only) consumer, no further message arrives and that consumer stops for good.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import nats.errors
import orjson
from nats.aio.msg import Msg

from tollgate.contract.subjects import STREAM
from tollgate.messaging.acks import parse_ack_subject
from tollgate.messaging.connection import Broker
from tollgate.messaging.jetstream_api import consumer_api
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.stored_message import get_message
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.retries import Retries
from tollgate.runtime.tasks import end

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS_MAX = 3.0
"""Without a message or a heartbeat for so long, the consumer is created anew."""
BUFFERED_MESSAGES_MAX = 16_384
BUFFERED_BYTES_MAX = 4 * 1024 * 1024
"""Above either bound the reader stops taking messages; the broker's flow control then stops sending them."""
BATCH_BYTES_MAX = 512 * 1024
"""Payload bytes of a batch, except for its last message: about 2,000 events, however many share a message."""
API_TIMEOUT_SECONDS = 5.0
STALL_SECONDS = 2.0
"""A reader of a replicated log whose broker has not sent for so long what the log holds is created anew."""
RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 3.0


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One message of the log; `pending` is how many messages the consumer had left to deliver after it."""

    sequence: int
    subject: str
    payload: bytes
    stored_at_us: int
    pending: int


class LogReader:
    """Delivers the log's messages from `start_sequence` on, each once, in order, without a gap. A context manager.

    `subjects` limits which are delivered. With a `watch`, reading ends with
    LogChangedError when the log is not the one that was read before.

    In a cluster the consumer is on any of the log's brokers, and that one may lag behind: then it reports an end that
    is none. So the end is asked for, and a consumer that does not get there is created anew, mostly on another broker.
    """

    def __init__(
        self,
        broker: Broker,
        start_sequence: int,
        *,
        subjects: Sequence[str] = (),
        watch: LogWatch | None = None,
    ) -> None:
        self._broker = broker
        self._watch = watch
        self._next_sequence = max(start_sequence, 1)
        self._subjects = list(subjects)
        self._running: asyncio.Future[None] | None = None
        self._buffer: deque[LogMessage] = deque()
        self._buffered_bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._broken = asyncio.Event()
        self._delivered = 0
        self._epoch = 0
        self._received_at = 0.0
        self._moved_at = float("-inf")
        self._wanted = 0
        self.current_at = float("-inf")
        """When (loop time) the broker last reported that it had nothing further to deliver."""

    async def __aenter__(self) -> Self:
        self._running = asyncio.ensure_future(self._run())
        # Wakes `batch`, which then raises what reading ended with.
        self._running.add_done_callback(lambda _: self._filled.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            await end(self._running)

    async def batch(self, messages_max: int) -> list[LogMessage]:
        """The next messages; waits for at least one. Raises the exception that ended reading, if there is one."""
        while not self._buffer:
            await self._changed()
        return self.take(messages_max)

    @property
    def next_sequence(self) -> int:
        """All requested messages before this sequence have been received from the broker."""
        return self._next_sequence

    async def to_the_end(self, messages_max: int) -> AsyncIterator[list[LogMessage]]:
        """The next messages in batches, up to the log's end at the time of the call. Raises as `batch` does."""
        since = self._now()
        end_sequence = await self._replicated_end()
        while self._buffer or self.current_at < since or self._next_sequence <= end_sequence:
            if not self._buffer:
                try:
                    async with asyncio.timeout(STALL_SECONDS if end_sequence else None):
                        await self._changed()
                except TimeoutError:
                    # A purge may have removed what was waited for.
                    end_sequence = min(end_sequence, await self._replicated_end())
            yield self.take(messages_max)

    async def _replicated_end(self) -> int:
        """The sequence of the last message to deliver, from the leader of a replicated log; 0 if there is none.

        0 for a log on one broker, too: what its consumer reports is the end.
        """
        while self._broker.log_replicas != 1:
            if self._running is not None and self._running.done():
                self._running.result()
            with contextlib.suppress(BrokerError):
                return await self._end()
            await asyncio.sleep(RETRY_SECONDS_MIN)
        return 0

    async def _end(self) -> int:
        """The same, once. Raises BrokerError."""
        log = await self._broker.log_state(timeout_seconds=API_TIMEOUT_SECONDS)
        if log.replicas == 1 or not log.messages or log.last_sequence < self._next_sequence:
            return 0
        if not self._subjects:
            return log.last_sequence
        wanted = ({"last_by_subj": subject} for subject in self._subjects)
        found = (get_message(self._broker, one, timeout_seconds=API_TIMEOUT_SECONDS) for one in wanted)
        return max((message.sequence for message in await asyncio.gather(*found) if message is not None), default=0)

    async def _is_stalled(self) -> bool:
        """Whether the log of a cluster has held for STALL_SECONDS what the consumer has not sent."""
        if self._broker.log_replicas == 1 or self._buffer or self._now() - self._moved_at < STALL_SECONDS:
            return False
        self._moved_at = self._now()
        before = self._wanted
        with contextlib.suppress(BrokerError):
            self._wanted = await self._end()
        return not self._buffer and self._next_sequence <= min(before, self._wanted)

    def take(self, messages_max: int) -> list[LogMessage]:
        """The next messages that were already received, possibly none."""
        taken: list[LogMessage] = []
        taken_bytes = 0
        while self._buffer and len(taken) < messages_max and taken_bytes < BATCH_BYTES_MAX:
            message = self._buffer.popleft()
            taken.append(message)
            taken_bytes += len(message.payload)
        self._buffered_bytes -= taken_bytes
        if self._fullness() < 1 / 2:
            self._drained.set()
        return taken

    def _fullness(self) -> float:
        return max(len(self._buffer) / BUFFERED_MESSAGES_MAX, self._buffered_bytes / BUFFERED_BYTES_MAX)

    async def _changed(self) -> None:
        """Waits until there is a message, or the broker reports that there is none. Raises as `batch` does."""
        if self._running is not None and self._running.done():
            self._running.result()
        self._filled.clear()
        await self._filled.wait()

    def _is_current(self) -> None:
        self.current_at = self._received_at
        self._filled.set()

    async def _run(self) -> None:
        """Keeps a consumer open until cancelled; creates it anew after a gap, a silence or a lost connection."""
        retries = Retries(
            *(logger, "reading the log is interrupted"),
            pause_seconds_min=RETRY_SECONDS_MIN,
            pause_seconds_max=RETRY_SECONDS_MAX,
        )
        while True:
            generation = await self._broker.connected()
            try:
                await self._look()
                async with self._consumer(generation):
                    retries.succeeded()
                    await self._until_broken(generation)
            except (BrokerError, nats.errors.Error, OSError) as error:
                await asyncio.sleep(retries.failed(error or type(error).__name__))

    async def _look(self) -> None:
        if self._watch is not None and self._watch.is_due:
            await self._watch.look()

    @contextlib.asynccontextmanager
    async def _consumer(self, generation: int) -> AsyncIterator[None]:
        self._epoch += 1
        self._delivered = 0
        self._broken.clear()
        client = self._broker.client
        inbox = client.new_inbox()
        name = inbox.rpartition(".")[2]
        epoch = self._epoch

        async def on_message(message: Msg) -> None:
            # A repeated request may create the consumer over the next connection, whose log was not checked yet.
            is_of_connection = self._broker.is_connected and self._broker.generation == generation
            if epoch == self._epoch and is_of_connection:
                await self._on_message(message)

        subscription = await client.subscribe(inbox, cb=on_message)
        try:
            await self._create(name, inbox)
            yield
        finally:
            self._epoch += 1
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
                if self._broker.is_connected:
                    await client.publish(consumer_api("DELETE", name), b"")

    async def _create(self, name: str, inbox: str) -> None:
        config: dict[str, Any] = {
            "name": name,
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next_sequence,
            "ack_policy": "none",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
            "inactive_threshold": 5_000_000_000,
            "mem_storage": True,
            "num_replicas": 1,
        }
        if self._subjects:
            config["filter_subjects"] = self._subjects
        answer = await self._broker.request(
            consumer_api("CREATE", name),
            orjson.dumps({"stream_name": STREAM, "config": config}),
            timeout_seconds=API_TIMEOUT_SECONDS,
        )
        if "error" in answer:
            raise BrokerError(f"no consumer of the log: {answer['error'].get('description')}")
        self._received_at = self._moved_at = self._now()
        if answer["num_pending"] == 0 and self._delivered == 0:
            self._is_current()

    async def _until_broken(self, generation: int) -> None:
        lost = asyncio.ensure_future(self._broker.lost(generation))
        broken = asyncio.ensure_future(self._broken.wait())
        try:
            while not lost.done() and not broken.done():
                await asyncio.wait((lost, broken), timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                # With a full buffer the broker sends nothing because this side takes nothing.
                is_full = self._fullness() >= 1
                if self._now() - self._received_at > SILENCE_SECONDS_MAX and not is_full:
                    logger.warning("the log's consumer sends nothing; creating it anew")
                    return
                if await self._is_stalled():
                    logger.warning("the log's consumer is on a broker that lags behind; creating it anew")
                    return
                await self._look()
        finally:
            lost.cancel()
            broken.cancel()

    async def _on_message(self, message: Msg) -> None:
        self._received_at = self._now()
        headers = message.headers
        if headers is not None and "Status" in headers:
            await self._on_control(message, headers)
            return
        info = parse_ack_subject(message.reply)
        if info.consumer_sequence != self._delivered + 1:
            self._break(f"gap after {self._delivered}")
            return
        self._delivered += 1
        self._moved_at = self._received_at
        self._next_sequence = info.sequence + 1
        if self._watch is not None:
            self._watch.note(info.sequence, info.stored_at_us)
        self._buffer.append(LogMessage(info.sequence, message.subject, message.data, info.stored_at_us, info.pending))
        self._buffered_bytes += len(message.data)
        self._filled.set()
        if info.pending == 0:
            self._is_current()
        if self._fullness() >= 1:
            self._drained.clear()
            await self._drained.wait()

    async def _on_control(self, message: Msg, headers: dict[str, str]) -> None:
        stalled_reply = headers.get("Nats-Consumer-Stalled")
        if message.reply:
            await self._broker.client.publish(message.reply)
        elif stalled_reply:
            await self._broker.client.publish(stalled_reply)
        last_delivered = headers.get("Nats-Last-Consumer")
        if last_delivered is None:
            return
        if int(last_delivered) != self._delivered:
            self._break(f"the heartbeat counts {last_delivered} messages, and {self._delivered} arrived")
        elif stalled_reply is None:
            self._is_current()

    def _break(self, why: str) -> None:
        if not self._broken.is_set():
            logger.info("the log's consumer is created anew: %s", why)
            self._epoch += 1
            self._broken.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
