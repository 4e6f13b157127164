"""Creates and updates streams on the broker."""

from collections.abc import Mapping

import orjson

from tollgate.messaging.connection import Broker
from tollgate.messaging.jetstream_api import stream_api
from tollgate.messaging.jetstream_errors import STREAM_NAME_IN_USE, error_code
from tollgate.runtime.errors import BrokerError


async def ensure_stream(broker: Broker, definition: Mapping[str, object], *, timeout_seconds: float) -> None:
    """Creates the stream, or updates an existing one to this definition. Raises BrokerError."""
    name = str(definition["name"])
    payload = orjson.dumps(definition)
    for verb in ("CREATE", "UPDATE"):
        answer = await broker.request(stream_api(verb, name), payload, timeout_seconds=timeout_seconds)
        if "error" not in answer:
            return
        if error_code(answer) != STREAM_NAME_IN_USE:
            break
    raise BrokerError(f"the broker refuses the definition of {name}: {answer['error'].get('description')}")
