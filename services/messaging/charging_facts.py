"""Gathers the state of charging from the broker and the processor replicas."""

import asyncio
from dataclasses import replace
from typing import Any

from tollgate.contract.read_model_api import Charging, OpenPayment
from tollgate.contract.replicas import REPLICAS, ReplicaStatus, decode_replica
from tollgate.contract.subjects import CONSUMER, MESSAGE_BYTES_MAX, RELEASED_CONSUMER, REQUESTED
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.contract.waiting import ChargingFacts, LogSize, Queue, WaitingPayment
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import gather_answers
from tollgate.messaging.history import next_of_subject
from tollgate.messaging.jetstream_api import consumer_api, stream_api
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.runtime.errors import BrokerError

QUESTION_SECONDS = 3.0


async def ask_charging_and_read_model(
    broker: Broker, read_model: ReadModel, *, timeout_seconds: float
) -> tuple[ChargingFacts, Charging | str]:
    """The state of charging, and the answer of the read model or the reason why there is none. Raises BrokerError."""
    facts = await ask_charging(broker)
    # After the queue: a payment that is acknowledged in between would look like one that the queue never delivers.
    try:
        charging = await read_model.charging(timeout_seconds=timeout_seconds)
    except ReadModelUnavailableError as error:
        return facts, str(error)
    return with_oldest(broker, facts, charging), charging


def with_oldest(broker: Broker, facts: ChargingFacts, charging: Charging) -> ChargingFacts:
    """The facts with the oldest payment that the read model knows, which is exact, in place of the queue's.

    `charging` was asked for after `facts`.
    """
    return replace(facts, oldest=_as_waiting(broker, charging.oldest_chargeable))


def _as_waiting(broker: Broker, payment: OpenPayment | None) -> WaitingPayment | None:
    if payment is None:
        return None
    return WaitingPayment(payment.sequence, age_seconds(broker, payment.stored_at_us), payment.correlation_id)


async def ask_charging(broker: Broker) -> ChargingFacts:
    """The state of charging as broker and replicas know it. Raises BrokerError."""
    queue, released, replicas, size = await asyncio.gather(
        ask_queue(broker, CONSUMER), ask_queue(broker, RELEASED_CONSUMER), ask_replicas(broker), ask_log_size(broker)
    )
    oldest = None if queue is None else await oldest_in(broker, queue)
    is_elsewhere = released is not None and released.length > 0
    is_full = size.leaves_less_than(MESSAGE_BYTES_MAX)
    return ChargingFacts(queue, replicas, oldest, is_full, is_elsewhere=is_elsewhere, log_size=size)


async def ask_queue(broker: Broker, consumer: str) -> Queue | None:
    """The queue of that name; None if there is none. Raises BrokerError."""
    answer = await broker.request(consumer_api("INFO", consumer), b"", timeout_seconds=QUESTION_SECONDS)
    if "error" in answer:
        if answer["error"].get("code") == 404:  # noqa: PLR2004 - HTTP's not found
            return None
        raise BrokerError(f"the state of the queue {consumer} cannot be read: {answer['error'].get('description')}")
    return Queue(
        waiting=answer["num_pending"],
        under_way=answer["num_ack_pending"],
        redelivered=answer["num_redelivered"],
        under_way_max=answer["config"]["max_ack_pending"],
        pulls=answer["num_waiting"],
        floor=answer["ack_floor"]["stream_seq"],
        is_paused=answer.get("paused", False),
    )


async def oldest_in(broker: Broker, queue: Queue) -> WaitingPayment | None:
    """The oldest request that is not acknowledged; None if there is none. Raises BrokerUnavailableError."""
    if not queue.length:
        return None
    message = await next_of_subject(broker, REQUESTED, queue.floor + 1)
    if message is None:
        return None
    return WaitingPayment(message.sequence, age_seconds(broker, message.stored_at_us))


async def ask_replicas(broker: Broker) -> list[ReplicaStatus]:
    """The answers of the replicas that answer in time."""
    return sorted((decode_replica(one) for one in await gather_answers(broker, REPLICAS)), key=lambda one: one.name)


async def ask_log_size(broker: Broker) -> LogSize:
    """The bytes of the log. Raises BrokerError."""
    answer: dict[str, Any] = await broker.request(stream_api("INFO"), b"", timeout_seconds=QUESTION_SECONDS)
    if "error" in answer:
        raise BrokerError(f"there is no log: {answer['error'].get('description')}")
    bytes_max = int(answer["config"].get("max_bytes", -1))
    return LogSize(int(answer["state"]["bytes"]), bytes_max if bytes_max > 0 else None)


def age_seconds(broker: Broker, moment_us: int) -> float:
    """Seconds since `moment_us`, both by the broker's clock."""
    return max(broker.clock.now_us() - moment_us, 0) / MICROSECONDS
