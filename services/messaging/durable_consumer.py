"""The durable consumers that the replicas share: created, and replaced where their definition is wrong.

A consumer that another program created may begin after requests that have not ended, or may have skipped them while it
had another filter; a correction of its definition would never deliver those. So it is replaced by one that begins at
the oldest request whose payment has not ended, according to the read model (docs/decisions/0023).
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tollgate.contract.subjects import STREAM
from tollgate.messaging.connection import Broker
from tollgate.messaging.jetstream_api import consumer_api
from tollgate.messaging.jetstream_errors import CONSUMER_NOT_FOUND, error_code
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.retries import Retries

logger = logging.getLogger(__name__)

ACK_WAIT_SECONDS = 3.0
"""A delivery that is neither acknowledged nor extended within this is delivered again, to any replica."""
API_TIMEOUT_SECONDS = 5.0
PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 5.0
BEGINS_AT = "tollgate-begins-at"
"""Metadata of a consumer that was created here to begin at a sequence. A start without it is not trusted."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One durable consumer of the log. `ack_pending_max` bounds its deliveries not yet acknowledged, over all replicas:
    at the bound the broker only redelivers those, the oldest first."""

    consumer: str
    subject: str
    ack_pending_max: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """`floor` is the sequence up to which every event is done; `waiting` is how many events are not done."""

    floor: int
    waiting: int


async def ensure_consumer(broker: Broker, queue: Queue) -> QueueState:
    """Creates the durable consumer, or replaces one that may have skipped events. Raises BrokerError."""
    existing = await _ask(broker, "INFO", queue)
    begins_at: int | None = None
    if existing is not None:
        begins_at = existing["config"].get("opt_start_seq")
        if differing := differences(existing["config"], queue):
            begins_at = await _oldest_open_sequence(broker, queue)
            await _ask(broker, "DELETE", queue)
            logger.error(
                "the consumer %s was created by another program, with different %s; replaced, from sequence %d on",
                *(queue.consumer, ", ".join(differing), begins_at),
            )
    question = {"stream_name": STREAM, "config": definition(queue, begins_at)}
    made = await _ask(broker, "CREATE", queue, question)
    if made is None:
        raise BrokerError(f"no consumer {queue.consumer}: it does not exist")
    return QueueState(made["ack_floor"]["stream_seq"], made["num_pending"] + made["num_ack_pending"])


async def until_ensured(broker: Broker, queue: Queue) -> QueueState:
    """As `ensure_consumer`, repeated until it succeeds."""
    retries = Retries(
        *(logger, f"{queue.consumer} is not ready yet"),
        pause_seconds_min=PAUSE_SECONDS_MIN,
        pause_seconds_max=PAUSE_SECONDS_MAX,
    )
    while True:
        try:
            return await ensure_consumer(broker, queue)
        except BrokerError as error:
            await asyncio.sleep(retries.failed(error))


def definition(queue: Queue, begins_at: int | None) -> dict[str, Any]:
    """The right definition of the consumer. `begins_at` None: at the log's beginning."""
    return {
        "durable_name": queue.consumer,
        "name": queue.consumer,
        "filter_subject": queue.subject,
        **_beginning(begins_at),
        "ack_policy": "explicit",
        "ack_wait": int(ACK_WAIT_SECONDS * 1e9),
        "max_ack_pending": queue.ack_pending_max,
        "max_deliver": -1,
        "max_waiting": 512,
    }


def differences(config: Mapping[str, Any], queue: Queue) -> list[str]:
    """The wrong fields of an existing consumer that may have made it skip, or give up, events.

    Other fields (the ack wait, the bound of deliveries) are changed in place.
    """
    begins_at = config.get("opt_start_seq")
    is_marked = str(begins_at) == config.get("metadata", {}).get(BEGINS_AT)
    expected = definition(queue, begins_at if is_marked else None)
    return [name for name in _THAT_MATTER if config.get(name) != expected.get(name, _WHERE_NOT_NAMED.get(name))]


def _beginning(sequence: int | None) -> dict[str, Any]:
    if sequence is None:
        return {"deliver_policy": "all"}
    return {
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": sequence,
        "metadata": {BEGINS_AT: str(sequence)},
    }


async def _oldest_open_sequence(broker: Broker, queue: Queue) -> int:
    """The sequence of the oldest request whose payment has not ended; if all have, the one after the read model's."""
    try:
        charging = await ReadModel(broker).charging(timeout_seconds=API_TIMEOUT_SECONDS)
    except ReadModelUnavailableError as error:
        raise BrokerError(f"the consumer {queue.consumer} has a wrong definition, and stays unused: {error}") from None
    return charging.position + 1 if charging.oldest_open_sequence is None else charging.oldest_open_sequence


async def _ask(broker: Broker, verb: str, queue: Queue, question: object = None) -> dict[str, Any] | None:
    """The broker's answer; None when there is no such consumer. Raises BrokerError."""
    answer = await broker.request(
        consumer_api(verb, queue.consumer),
        b"" if question is None else orjson.dumps(question),
        timeout_seconds=API_TIMEOUT_SECONDS,
    )
    if error_code(answer) == CONSUMER_NOT_FOUND:
        return None
    if "error" in answer:
        raise BrokerError(f"no consumer {queue.consumer}: {answer['error'].get('description')}")
    return answer


_THAT_MATTER = (
    *("durable_name", "filter_subject", "filter_subjects", "deliver_policy", "opt_start_seq", "opt_start_time"),
    *(
        "ack_policy",
        "max_deliver",
        "deliver_subject",
        "deliver_group",
        "headers_only",
        "replay_policy",
        "rate_limit_bps",
    ),
    *("priority_groups", "priority_policy", "mem_storage"),
)
_WHERE_NOT_NAMED = {"replay_policy": "instant"}
"""The values with which the broker replaces fields that were left out; other such fields it omits."""
