"""The log: defines its stream, appends events, reads single events and purges."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import orjson

from tollgate.contract.batch import events_in, join, part_of
from tollgate.contract.codec import encode
from tollgate.contract.events import Event, PaymentRequested
from tollgate.contract.log_mark import LogState
from tollgate.contract.subjects import MESSAGE_BYTES_MAX, REQUESTED, STREAM, SUBJECTS, message_id_of, subject_of
from tollgate.messaging.connection import REQUEST_TIMEOUT_SECONDS, RETRY_PAUSE_SECONDS, TRANSIENT_ERRORS, Broker
from tollgate.messaging.jetstream_api import stream_api
from tollgate.messaging.jetstream_errors import WRONG_LAST_SEQUENCE, error_code, is_transient
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.stored_message import StoredMessage, get_message
from tollgate.messaging.streams import ensure_stream
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError, LogFullError, LogMovedOnError
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

REFUSAL_SECONDS = 30.0
"""How long `refusal` reports a refused event."""
_NANOSECONDS = 1_000_000_000
_MISSING_PAUSE_SECONDS = 0.05
IDS_MAX = 8
"""Message ids that are tried for an event if its own id belongs to another message, or to one that was purged."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """The limits that an operator may set. With a `bytes_max` of -1 only the broker's own store limit applies."""

    duplicate_window_seconds: int = 30
    bytes_max: int = -1
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Appended:
    """The event's sequence; `existing` is the event that was already stored there under the same message id."""

    sequence: int
    existing: Event | None = None


class Log:
    """The stream of events. Acknowledged sequences are recorded in the `watch`."""

    def __init__(self, broker: Broker, watch: LogWatch | None = None) -> None:
        self._broker = broker
        self._watch = watch
        self._refusal: str | None = None
        self._refused_at = float("-inf")

    @property
    def refusal(self) -> str | None:
        """Why the broker refused the last event; None if it did not, or did longer than REFUSAL_SECONDS ago."""
        is_recent = asyncio.get_running_loop().time() - self._refused_at < REFUSAL_SECONDS
        return self._refusal if is_recent else None

    async def ensure(self, limits: LogLimits, *, timeout_seconds: float = 30) -> None:
        """Creates the stream, or updates an existing one to this definition. Raises BrokerError."""
        await ensure_stream(self._broker, _definition(limits), timeout_seconds=timeout_seconds)

    async def wait_until_exists(self) -> None:
        """Waits until the projector, which alone may, has created the stream."""
        is_logged = False
        while True:
            try:
                await self._broker.log_state(timeout_seconds=REQUEST_TIMEOUT_SECONDS)
            except BrokerUnavailableError as error:
                if not is_logged:
                    is_logged = True
                    logger.warning("waiting for the projector to create the log: %s", error)
                await asyncio.sleep(_MISSING_PAUSE_SECONDS)
            else:
                return

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        """Stores the event durably, and once.

        It is sent again until the broker acknowledges it; the message id prevents a second copy. Raises
        BrokerUnavailableError when there is no acknowledgement within `timeout_seconds` (the event may be in the log
        nevertheless), and LogFullError when the broker refuses to store it.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        subject, payload, message_id = subject_of(event), encode(event), message_id_of(event)
        unused_id = message_id
        for _ in range(IDS_MAX):
            sequence, is_duplicate = await self._publish(subject, payload, _identified(unused_id), deadline)
            if not is_duplicate:
                return Appended(sequence)
            message = await self._message_at(sequence, deadline=deadline)
            if message is None:
                # The broker still has the message id of a purged event, and would drop this one as its repeat.
                # The log's first sequence moves with each purge, so the new id is unique and the same for all.
                unused_id = f"{message_id}@{(await self._log_state(deadline)).first_sequence}"
                continue
            existing = _only_event_in(message)
            if existing is not None and message_id_of(existing) == message_id:
                return Appended(sequence, existing)
            # Another message has this id in its header. Without a new id this event would never be stored.
            logger.error(
                "message %d of the log has the id of another event, %s, and is no repeat",
                *(sequence, message_id),
                extra=about(sequence=sequence),
            )
            unused_id = f"{message_id}@{sequence}"
        raise BrokerUnavailableError(f"the message id {message_id} is used by another message")

    async def append_together(self, events: Sequence[Event], *, timeout_seconds: float) -> int:
        """Stores events that may share a message (`contract/batch.py`) durably. Returns the message's sequence.

        The message is sent again until it is acknowledged, and stored once, because it has its own id. Its events have
        no ids, so the broker does not drop one that was stored before; readers must. Raises as `append` does.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        payload = join(encode(event) for event in events)
        sequence, _ = await self._publish(
            subject_of(events[0]), payload, _identified(f"together:{uuid4().hex}"), deadline
        )
        return sequence

    async def append_requests(self, requests: Sequence[PaymentRequested], *, after: int, timeout_seconds: float) -> int:
        """Stores requests as one message, if `after` is the sequence of the last message of requests in the log.

        Returns the message's sequence. Raises LogMovedOnError when it is not, and as `append` does. A message that was
        sent again after a lost acknowledgement can be the one that moved the log on.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        payload = join(encode(request) for request in requests)
        headers = {"Nats-Expected-Last-Subject-Sequence": str(after)}
        sequence, _ = await self._publish(REQUESTED, payload, headers, deadline)
        return sequence

    async def event_at(self, sequence: int, *, deadline: float) -> Event | None:
        """The valid event at that sequence, if the message has one event; None otherwise, or when it was purged.

        `deadline` is in the running loop's time. Raises BrokerUnavailableError.
        """
        message = await self._message_at(sequence, deadline=deadline)
        return None if message is None else _only_event_in(message)

    async def payload_at(self, sequence: int, *, deadline: float) -> bytes | None:
        """The raw message at that sequence, from the stream's leader; None when it was purged."""
        message = await self._message_at(sequence, deadline=deadline)
        return None if message is None else message.payload

    async def event_of(self, correlation_id: str, sequence: int, *, deadline: float) -> bytes | None:
        """The payment's valid event in the message at that sequence, as stored; None if there is none, or no more.

        Raises BrokerUnavailableError.
        """
        stored = await self._stored_event_of(correlation_id, sequence, deadline)
        return None if stored is None else stored.payload

    async def events_of(
        self, correlation_id: str, sequences: Sequence[int], *, deadline: float
    ) -> list[tuple[int, bytes]]:
        """The payment's valid events at those sequences, as stored; those that are gone are left out."""
        stored = await self.stored_events_of(correlation_id, sequences, deadline=deadline)
        return [(one.sequence, one.payload) for one in stored]

    async def stored_events_of(
        self, correlation_id: str, sequences: Sequence[int], *, deadline: float
    ) -> list[StoredMessage]:
        """The same with the times at which they were stored; each payload is this payment's event only."""
        found = await asyncio.gather(*(self._stored_event_of(correlation_id, one, deadline) for one in sequences))
        return [one for one in found if one is not None]

    async def last_sequence_of(self, subject: str, *, timeout_seconds: float) -> int:
        """The sequence of the newest message under this subject, from the stream's leader; 0 if there is none.

        Raises BrokerUnavailableError.
        """
        message = await get_message(self._broker, {"last_by_subj": subject}, timeout_seconds=timeout_seconds)
        return 0 if message is None else message.sequence

    async def purge_before(self, sequence: int, *, timeout_seconds: float) -> None:
        """Removes every event before `sequence`. Raises BrokerError."""
        answer = await self._broker.request(
            stream_api("PURGE"), orjson.dumps({"seq": sequence}), timeout_seconds=timeout_seconds
        )
        if "error" in answer:
            raise BrokerError(f"the log cannot be purged: {answer['error'].get('description')}")

    async def _stored_event_of(self, correlation_id: str, sequence: int, deadline: float) -> StoredMessage | None:
        message = await self._message_at(sequence, deadline=deadline)
        event = None if message is None else part_of(message.subject, message.payload, correlation_id)
        return None if message is None or event is None else replace(message, payload=event)

    async def _message_at(self, sequence: int, *, deadline: float) -> StoredMessage | None:
        timeout_seconds = max(deadline - asyncio.get_running_loop().time(), 0)
        return await get_message(self._broker, {"seq": sequence}, timeout_seconds=timeout_seconds)

    async def _log_state(self, deadline: float) -> LogState:
        return await self._broker.log_state(timeout_seconds=max(deadline - asyncio.get_running_loop().time(), 0))

    async def _publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, deadline: float
    ) -> tuple[int, bool]:
        """The acknowledged sequence, and whether the message id was already in the broker's duplicate window."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                if not self._broker.is_connected:
                    async with asyncio.timeout_at(deadline):
                        await self._broker.connected()
                wait_seconds = min(REQUEST_TIMEOUT_SECONDS, deadline - loop.time())
                reply = await self._broker.ask(subject, payload, timeout_seconds=wait_seconds, headers=headers)
            except TRANSIENT_ERRORS as error:
                if loop.time() + RETRY_PAUSE_SECONDS >= deadline:
                    raise BrokerUnavailableError("the broker did not acknowledge the event in time") from error
                await asyncio.sleep(RETRY_PAUSE_SECONDS)
                continue
            answer = orjson.loads(reply.data)
            if error_code(answer) in WRONG_LAST_SEQUENCE:
                raise LogMovedOnError(_last_sequence_in(answer))
            if is_transient(answer):
                if loop.time() + RETRY_PAUSE_SECONDS >= deadline:
                    raise BrokerUnavailableError(f"the event is not stored yet: {answer['error'].get('description')}")
                await asyncio.sleep(RETRY_PAUSE_SECONDS)
                continue
            if "error" in answer:
                self._refused_at = loop.time()
                self._refusal = str(answer["error"].get("description", "the broker refused to store the event"))
                raise LogFullError(self._refusal)
            self._refusal = None
            sequence, is_duplicate = answer["seq"], answer.get("duplicate", False)
            if self._watch is not None:
                # A repeat's message id can belong to another message.
                self._watch.note_stored(sequence, None if is_duplicate else payload)
            return sequence, is_duplicate


def _identified(message_id: str | None) -> dict[str, str] | None:
    return None if message_id is None else {"Nats-Msg-Id": message_id}


def _last_sequence_in(answer: Mapping[str, Any]) -> int | None:
    """The sequence in `wrong last sequence: 7`; None in the error of a replicated log, which has none."""
    _, _, sequence = str(answer["error"].get("description", "")).rpartition(": ")
    return int(sequence) if sequence.isdecimal() else None


def _only_event_in(message: StoredMessage) -> Event | None:
    """The message's only event; None when it has several, or is not valid."""
    match events_in(message.subject, message.payload):
        case [event]:
            return event
        case _:
            return None


def _definition(limits: LogLimits) -> dict[str, object]:
    return {
        "name": STREAM,
        "subjects": list(SUBJECTS),
        "storage": "file",
        "retention": "limits",
        # A full log refuses the newest event; it never drops the oldest to make room.
        "discard": "new",
        "max_bytes": limits.bytes_max,
        "max_msg_size": MESSAGE_BYTES_MAX,
        "max_msgs": -1,
        "max_age": 0,
        "max_consumers": -1,
        "num_replicas": limits.replicas,
        "duplicate_window": limits.duplicate_window_seconds * _NANOSECONDS,
        "deny_delete": True,
    }
