"""What an operator asks of charging, over the broker: the commands beside `run`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contract.queries import Charging
from contract.waiting import ChargingFacts
from processor.claims import Claim
from processor.client import ProcessorClient
from processor.resolving import Resolver
from processor.settings import Settings
from runtime.charging_facts import as_waiting, ask_charging
from runtime.command import broker_for_command
from runtime.log import Log
from runtime.read_model import ReadModel, ReadModelUnavailableError

QUESTION_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class StatusAnswers:
    """What read model, broker and replicas answered; `charging` is why the first did not, where it did not."""

    charging: Charging | str
    facts: ChargingFacts
    now_us: int
    """By the broker's clock."""


async def ask_status(settings: Settings) -> StatusAnswers:
    """How charging stands. Raises BrokerError."""
    async with broker_for_command(settings) as broker:
        charging: Charging | str
        try:
            charging = await ReadModel(broker).charging(timeout_seconds=QUESTION_TIMEOUT_SECONDS)
        except ReadModelUnavailableError as error:
            charging, oldest = str(error), None
        else:
            oldest = charging.oldest_chargeable
        # First: its answer carries the broker's time.
        await broker.log_state(timeout_seconds=QUESTION_TIMEOUT_SECONDS)
        facts = await ask_charging(broker, as_waiting(broker, oldest))
        return StatusAnswers(charging, facts, broker.clock.now_us())


async def resolve(
    settings: Settings,
    correlation_id: str,
    claim: Claim,
    *,
    hold_seconds: float,
    is_forced: bool,
    say: Callable[[str], None],
) -> None:
    """Records the claim. Raises CannotResolveError, BrokerError and ReadModelUnavailableError."""
    async with broker_for_command(settings, name="processor") as broker, _client(settings) as client:
        resolver = Resolver(broker, Log(broker), ReadModel(broker), client, say)
        await resolver.resolve(correlation_id, claim, hold_seconds=hold_seconds, is_forced=is_forced)


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[ProcessorClient]:
    client = ProcessorClient(
        settings.providers(),
        timeout_seconds=settings.processor_timeout_seconds,
        connections_max=1,
    )
    try:
        yield client
    finally:
        await client.close()
