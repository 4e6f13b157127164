"""The log's last sequence at a given time."""

import secrets

import orjson

from tollgate.contract.subjects import STREAM
from tollgate.contract.timestamps import format_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.jetstream_api import consumer_api
from tollgate.runtime.errors import BrokerError

TIMEOUT_SECONDS = 2.0
_INACTIVE_NS = 1_000_000_000


async def log_end_at(broker: Broker, moment_us: int) -> int:
    """The sequence of the last event stored at or before the time; below the log's first one if there was none.

    The broker finds it: a consumer that begins after the given time is created, and nothing is read from it. Raises
    BrokerError.
    """
    name = f"moment-{secrets.token_hex(8)}"
    config = {
        "name": name,
        "deliver_policy": "by_start_time",
        "opt_start_time": format_us(moment_us + 1),
        "ack_policy": "none",
        "inactive_threshold": _INACTIVE_NS,
        "mem_storage": True,
        "num_replicas": 1,
    }
    answer = await broker.request(
        consumer_api("CREATE", name),
        orjson.dumps({"stream_name": STREAM, "config": config}),
        timeout_seconds=TIMEOUT_SECONDS,
    )
    if "error" in answer:
        raise BrokerError(f"the log's end at a time cannot be found: {answer['error'].get('description')}")
    await broker.client.publish(consumer_api("DELETE", name), b"")
    return int(answer["delivered"]["stream_seq"])
