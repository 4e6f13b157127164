"""Reading single stored messages of a stream. All other modules read single messages through this one."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tollgate.contract.subjects import STREAM
from tollgate.contract.timestamps import parse_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.jetstream_api import stream_api
from tollgate.messaging.jetstream_errors import MESSAGE_NOT_FOUND, error_code
from tollgate.runtime.errors import BrokerUnavailableError


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of a stream."""

    sequence: int
    subject: str
    payload: bytes
    stored_at_us: int


async def get_message(
    broker: Broker, wanted: Mapping[str, object], *, timeout_seconds: float, stream: str = STREAM
) -> StoredMessage | None:
    """The message that `wanted` selects (`seq`, `last_by_subj`, `next_by_subj`), from the stream's leader.

    None if there is none. Raises BrokerUnavailableError.
    """
    # Not a direct get: a follower may answer that one without having the newest messages.
    answer = await broker.request(stream_api("MSG.GET", stream), orjson.dumps(wanted), timeout_seconds=timeout_seconds)
    if "error" not in answer:
        message: dict[str, Any] = answer["message"]
        payload = b64decode(message.get("data", ""))
        return StoredMessage(message["seq"], message["subject"], payload, parse_us(message["time"]))
    if error_code(answer) == MESSAGE_NOT_FOUND:
        return None
    raise BrokerUnavailableError(f"message {wanted} of {stream} cannot be read: {answer['error'].get('description')}")
