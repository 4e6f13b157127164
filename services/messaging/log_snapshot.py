"""The broker's snapshot of the log, and restoring the log from one."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import nats.errors
import orjson
from nats.aio.msg import Msg

from tollgate.messaging.connection import TRANSIENT_ERRORS, Broker
from tollgate.messaging.jetstream_api import stream_api
from tollgate.messaging.jetstream_errors import STREAM_EXISTS, error_code
from tollgate.runtime.errors import BrokerError

CHUNK_BYTES = 65_536
"""Below the broker's `max_payload`, which is 128 KB."""
CHUNK_SECONDS_MAX = 30.0
BEGIN_SECONDS_MAX = 60.0
"""With a check the broker reads the whole log before it answers."""
FINISH_SECONDS_MAX = 600.0
DELETE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LogSnapshot:
    """`meta` is the stream's definition and state; `chunks` are the archive."""

    meta: dict[str, Any]
    chunks: AsyncIterator[bytes]


@contextlib.asynccontextmanager
async def log_snapshot(broker: Broker, *, check: bool) -> AsyncIterator[LogSnapshot]:
    """A snapshot of the log as it is now. Raises BrokerError, from `chunks` too."""
    inbox = broker.client.new_inbox()
    subscription = await broker.client.subscribe(inbox)
    try:
        question = {"deliver_subject": inbox, "chunk_size": CHUNK_BYTES, "jsck": check}
        meta = orjson.loads(await _ask(broker, stream_api("SNAPSHOT"), orjson.dumps(question), BEGIN_SECONDS_MAX))
        if "error" in meta:
            raise BrokerError(f"the broker makes no backup: {meta['error'].get('description')}")
        yield LogSnapshot({"config": meta["config"], "state": meta["state"]}, _chunks(broker, subscription))
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()


async def restore_snapshot(broker: Broker, meta: Mapping[str, Any], chunks: Iterable[bytes]) -> dict[str, Any]:
    """Restores the log where there is none; the stream's state afterwards. Raises BrokerError."""
    begun = orjson.loads(await _ask(broker, stream_api("RESTORE"), orjson.dumps(meta), BEGIN_SECONDS_MAX))
    if "error" in begun:
        if error_code(begun) == STREAM_EXISTS:
            raise BrokerError("the broker has a log already, and a restore never takes the place of one")
        raise BrokerError(f"the broker refuses the backup: {begun['error'].get('description')}")
    for chunk in chunks:
        if fault := await _ask(broker, begun["deliver_subject"], chunk, CHUNK_SECONDS_MAX):
            raise BrokerError(f"the broker cannot store the backup: {fault.decode(errors='replace')}")
    done = orjson.loads(await _ask(broker, begun["deliver_subject"], b"", FINISH_SECONDS_MAX))
    if "error" in done:
        raise BrokerError(f"the broker cannot use the backup: {done['error'].get('description')}")
    state: dict[str, Any] = done["state"]
    return state


async def delete_log(broker: Broker) -> None:
    """Deletes the log. Raises BrokerError."""
    answer = await broker.request(stream_api("DELETE"), b"", timeout_seconds=DELETE_SECONDS)
    if "error" in answer:
        raise BrokerError(f"the restored log cannot be deleted again: {answer['error'].get('description')}")


async def _chunks(broker: Broker, subscription: Any) -> AsyncIterator[bytes]:
    """The archive; each piece is acknowledged when the next is asked for, so that the broker sends no faster."""
    while True:
        try:
            message: Msg = await subscription.next_msg(CHUNK_SECONDS_MAX)
        except TRANSIENT_ERRORS:
            raise BrokerError(f"the broker sent nothing for {CHUNK_SECONDS_MAX:.0f} s") from None
        if not message.data:
            headers = message.headers or {}
            status = headers.get("Status", "204")
            if status != "204":
                raise BrokerError(f"the broker broke the backup off: {headers.get('Description', status)}")
            return
        yield message.data
        if message.reply:
            await broker.client.publish(message.reply)


async def _ask(broker: Broker, subject: str, payload: bytes, timeout_seconds: float) -> bytes:
    try:
        reply = await broker.ask(subject, payload, timeout_seconds=timeout_seconds)
    except TRANSIENT_ERRORS as error:
        raise BrokerError(f"the broker did not answer on {subject} ({error or type(error).__name__})") from None
    data: bytes = reply.data
    return data
