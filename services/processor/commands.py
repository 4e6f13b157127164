"""What an operator asks of charging, over the broker: the commands beside `run`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from contract.queries import Charging
from contract.stream import CONSUMER, STREAM
from processor.claims import Claim
from processor.client import ProcessorClient
from processor.resolving import Resolver
from processor.settings import Settings
from processor.status import Backlog
from runtime.broker import Broker
from runtime.command import broker_for_command
from runtime.errors import BrokerError
from runtime.log import Log
from runtime.read_model import ReadModel

QUESTION_TIMEOUT_SECONDS = 5.0


async def ask_status(settings: Settings) -> tuple[Charging, Backlog]:
    """How charging stands. Raises BrokerError and ReadModelUnavailableError."""
    async with broker_for_command(settings) as broker:
        charging = await ReadModel(broker).charging(timeout_seconds=QUESTION_TIMEOUT_SECONDS)
        return charging, await _backlog(broker)


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


async def _backlog(broker: Broker) -> Backlog:
    answer = await broker.request(
        f"$JS.API.CONSUMER.INFO.{STREAM}.{CONSUMER}", b"", timeout_seconds=QUESTION_TIMEOUT_SECONDS
    )
    if "error" in answer:
        # The first processor that starts makes it.
        raise BrokerError(f"the queue of requests cannot be asked: {answer['error'].get('description')}")
    return Backlog(answer["num_pending"], answer["num_ack_pending"], answer["num_redelivered"])
