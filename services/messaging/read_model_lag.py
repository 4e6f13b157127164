"""Measures how far the read model is behind the log."""

from tollgate.contract.log_mark import LogState
from tollgate.contract.read_model_api import Status
from tollgate.contract.read_model_health import Lag
from tollgate.messaging.charging_facts import age_seconds
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import message_at


async def measure_lag(broker: Broker, status: Status, *, timeout_seconds: float) -> tuple[LogState, Lag]:
    """The log's present ends, and the lag of that status. Raises BrokerUnavailableError."""
    log = await broker.log_state(timeout_seconds=timeout_seconds)
    messages = max(log.last_sequence - max(status.position, log.first_sequence - 1), 0)
    first_missing = await message_at(broker, max(status.position + 1, log.first_sequence)) if messages else None
    return log, Lag(messages, age_seconds(broker, first_missing.stored_at_us) if first_missing else 0.0)
