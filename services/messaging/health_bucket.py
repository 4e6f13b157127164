"""The key-value bucket that the processor replicas share: one record, changed by compare-and-set, and republished.

It does not use nats-py's key-value client, whose watch is an ordered consumer that stops for good when the server
restarts. Here the broker republishes what it stores on a subject; such a subscription survives a restart.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from nats.aio.msg import Msg

from tollgate.contract.health_bucket import (
    BUCKET,
    BUCKET_BYTES_MAX,
    BUCKET_SUBJECTS,
    POLL,
    POLL_STORED,
    RECORD_BYTES_MAX,
    RECORD_SECONDS_MAX,
)
from tollgate.messaging.connection import TRANSIENT_ERRORS, Broker
from tollgate.messaging.jetstream_errors import WRONG_LAST_SEQUENCE, error_code
from tollgate.messaging.stored_message import get_message
from tollgate.messaging.streams import ensure_stream
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored record; each change has a greater revision than the last."""

    revision: int
    payload: bytes


class HealthBucket:
    """The bucket's one record."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def ensure(self, *, replicas: int, timeout_seconds: float) -> None:
        """Creates the bucket, or updates an existing one to its definition. Raises BrokerError."""
        await ensure_stream(self._broker, _definition(replicas), timeout_seconds=timeout_seconds)

    async def subscribe(self, on_change: Callable[[Entry], Awaitable[None]]) -> None:
        """Calls `on_change` for each stored record from now on, also after reconnecting.

        Changes during a disconnection are missed; `read` returns the last.
        """

        async def on_message(message: Msg) -> None:
            sequence = (message.headers or {}).get("Nats-Sequence", "")
            if sequence.isdigit():
                await on_change(Entry(int(sequence), message.data))

        await self._broker.client.subscribe(POLL_STORED, cb=on_message)

    async def read(self, *, timeout_seconds: float) -> Entry | None:
        """The present record, from the bucket's leader; None if there is none.

        Raises BrokerUnavailableError when there is no answer in time, or no bucket.
        """
        wanted = {"last_by_subj": POLL}
        message = await get_message(self._broker, wanted, timeout_seconds=timeout_seconds, stream=BUCKET)
        return None if message is None else Entry(message.sequence, message.payload)

    async def write(self, payload: bytes, *, expected_revision: int, timeout_seconds: float) -> int | None:
        """Stores the record if its revision is still the expected one (0: there is none). Returns the new revision.

        Returns None when another replica was first. Sent once: after a BrokerUnavailableError it is unknown whether the
        record was stored. Raises BrokerError when the broker refuses it for any other reason.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected_revision)}
        try:
            reply = await self._broker.ask(POLL, payload, timeout_seconds=timeout_seconds, headers=headers)
        except TRANSIENT_ERRORS as error:
            raise BrokerUnavailableError("the broker did not acknowledge the health record in time") from error
        answer = orjson.loads(reply.data)
        if "error" not in answer:
            revision: int = answer["seq"]
            return revision
        if error_code(answer) in WRONG_LAST_SEQUENCE:
            return None
        raise BrokerError(f"the health record is refused: {answer['error'].get('description')}")


def _definition(replicas: int) -> dict[str, object]:
    return {
        "name": BUCKET,
        "subjects": [BUCKET_SUBJECTS],
        # On disk, though a record is valid for seconds only: a stream in memory is lost when the server restarts. A
        # service would then need the permission to create it, and the time of the last call would be lost.
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_bytes": BUCKET_BYTES_MAX,
        "max_msg_size": RECORD_BYTES_MAX,
        "max_msgs": -1,
        "max_age": RECORD_SECONDS_MAX * _NANOSECONDS,
        "max_consumers": -1,
        "num_replicas": replicas,
        # No message ids are used; the window must not be longer than the age.
        "duplicate_window": _NANOSECONDS,
        "deny_delete": True,
        # Only stored records are republished, with their sequence, in the order of storing.
        "republish": {"src": POLL, "dest": POLL_STORED},
    }
