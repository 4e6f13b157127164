"""The operator's commands on charging, over the broker."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from tollgate.contract.events import ProviderName
from tollgate.contract.read_model_api import Charging
from tollgate.contract.subjects import DOUBTS_CONSUMERS, RELEASED_CONSUMER
from tollgate.contract.waiting import ChargingFacts, Queue
from tollgate.messaging.charging_facts import ask_charging_and_read_model, ask_queue
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.operator_command import broker_for_command
from tollgate.messaging.read_model_client import ReadModel
from tollgate.processor.charging.histories import Histories
from tollgate.processor.charging.provider_client import ProviderClient
from tollgate.processor.charging.provider_log import ProviderLog
from tollgate.processor.operations.batch_resolution import AT_ONCE, Batch, BatchResolver, Counted, doubts_at
from tollgate.processor.operations.manual_resolution import RequestedResolution
from tollgate.processor.operations.resolve import Resolver
from tollgate.processor.settings import Settings

QUESTION_TIMEOUT_SECONDS = 5.0

Selected = Callable[[Broker, Histories], Awaitable[Sequence[str]]]
"""Finds the payments of a batch."""


@dataclass(frozen=True, slots=True)
class StatusAnswers:
    """The answers of read model, broker and replicas; `charging` is the reason if the read model did not answer."""

    charging: Charging | str
    facts: ChargingFacts
    side_queues: Mapping[str, Queue]
    """The queues of doubts and of releases that exist, by consumer."""
    now_us: int
    """By the broker's clock."""


async def ask_status(settings: Settings) -> StatusAnswers:
    """The status of charging. Raises BrokerError."""
    async with broker_for_command(settings) as broker:
        # First: its answer carries the broker's time.
        await broker.log_state(timeout_seconds=QUESTION_TIMEOUT_SECONDS)
        facts, charging = await ask_charging_and_read_model(
            broker, ReadModel(broker), timeout_seconds=QUESTION_TIMEOUT_SECONDS
        )
        asked = {name: await ask_queue(broker, name) for name in (*DOUBTS_CONSUMERS.values(), RELEASED_CONSUMER)}
        side_queues = {name: queue for name, queue in asked.items() if queue is not None}
        return StatusAnswers(charging, facts, side_queues, broker.clock.now_us())


async def resolve(
    settings: Settings,
    correlation_id: str,
    requested: RequestedResolution,
    *,
    hold_seconds: float,
    is_forced: bool,
    report: Callable[[str], None],
) -> None:
    """Records the resolution. Raises CannotResolveError, BrokerError and ReadModelUnavailableError."""
    async with broker_for_command(settings, name="processor") as broker, _client(settings) as client:
        resolver = Resolver(Log(broker), Histories(broker, ReadModel(broker)), client, report)
        await resolver.resolve(correlation_id, requested, hold_seconds=hold_seconds, is_forced=is_forced)


async def resolve_batch(
    settings: Settings, selected: Selected, batch: Batch, *, report: Callable[[str], None]
) -> Counted:
    """Records the resolution of each payment that `selected` finds. Raises as `resolve` does."""
    async with broker_for_command(settings, name="processor") as broker, _client(settings) as client:
        log, histories = Log(broker), Histories(broker, ReadModel(broker))
        ids = await selected(broker, histories)
        resolver = BatchResolver(lambda step: Resolver(log, histories, client, step), report)
        return await resolver.resolve(replace(batch, ids=ids))


def listed(ids: Sequence[str]) -> Selected:
    """Selects the payments with those ids."""

    async def select(_broker: Broker, _histories: Histories) -> Sequence[str]:
        return ids

    return select


def in_doubt_at(provider: ProviderName, *, older_than_seconds: float, count_max: int) -> Selected:
    """Selects the oldest payments that have been in doubt at that provider for that long."""

    async def select(broker: Broker, histories: Histories) -> Sequence[str]:
        return await doubts_at(broker, histories, provider, older_than_seconds=older_than_seconds, count_max=count_max)

    return select


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[ProviderClient]:
    client = ProviderClient(
        settings.providers(),
        provider_log=ProviderLog(),
        timeout_seconds=settings.processor_timeout_seconds,
        connections_max=AT_ONCE,
    )
    try:
        yield client
    finally:
        await client.close()
