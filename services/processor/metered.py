"""The parts of a processor whose work is counted: each does as its base does, and counts."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from random import Random

from tollgate.contract.events import Event, ProviderName
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Appended, Log
from tollgate.messaging.log_watch import LogWatch
from tollgate.processor.charging.outcomes import Answer, Attempt, LookupAnswer
from tollgate.processor.charging.ports import Providers
from tollgate.processor.charging.provider_log import ProviderEvent, ProviderLog
from tollgate.processor.metrics import ProcessorMetrics
from tollgate.processor.routing import BreakerChange, Decision, Policy, Route, Router
from tollgate.runtime.log_fields import LogFields, about

logger = logging.getLogger(__name__)


class MeteredLog(Log):
    """Counts events that the broker has acknowledged."""

    def __init__(self, broker: Broker, watch: LogWatch, metrics: ProcessorMetrics) -> None:
        super().__init__(broker, watch)
        self._metrics = metrics

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        """As `Log.append`. A repeat of a stored event is not counted."""
        appended = await super().append(event, timeout_seconds=timeout_seconds)
        if appended.existing is None:
            self._metrics.stored((event,))
        return appended

    async def append_together(self, events: Sequence[Event], *, timeout_seconds: float) -> int:
        """As `Log.append_together`."""
        sequence = await super().append_together(events, timeout_seconds=timeout_seconds)
        self._metrics.stored(events)
        return sequence


class MeteredRouter(Router):
    """Counts decisions to send."""

    def __init__(self, policy: Policy, random: Random, provider_log: ProviderLog, metrics: ProcessorMetrics) -> None:
        super().__init__(policy, random, partial(_note_breaker, provider_log))
        self._metrics = metrics

    def decide(self, now: float, *, amount_cents: int, waited_seconds: float) -> Decision:
        """As `Router.decide`."""
        decision = super().decide(now, amount_cents=amount_cents, waited_seconds=waited_seconds)
        if isinstance(decision, Route):
            self._metrics.decided(decision)
        return decision


class MeteredProviderLog(ProviderLog):
    """Counts intents that are not sent."""

    def __init__(self, metrics: ProcessorMetrics) -> None:
        super().__init__()
        self._metrics = metrics

    def note(self, provider: ProviderName, event: ProviderEvent, text: str, fields: LogFields) -> None:
        """As `ProviderLog.note`."""
        if event == "intent_void":
            self._metrics.void(provider)
        super().note(provider, event, text, fields)


class MeteredProviders:
    """Counts and measures attempts that are sent."""

    def __init__(self, providers: Providers, metrics: ProcessorMetrics) -> None:
        self._providers = providers
        self._metrics = metrics

    async def send(self, attempt: Attempt) -> Answer:
        """Sends the attempt, the same bytes each time."""
        began = time.perf_counter()
        answer = await self._providers.send(attempt)
        seconds = time.perf_counter() - began
        self._metrics.called(attempt.provider, type(answer).__name__, seconds)
        if logger.isEnabledFor(logging.DEBUG):
            _log_call(attempt, answer, seconds)
        return answer

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        """Requests the provider's record of the payment."""
        return await self._providers.look_up(provider, correlation_id)


def _note_breaker(provider_log: ProviderLog, provider: ProviderName, change: BreakerChange, text: str) -> None:
    event: ProviderEvent = "breaker_opened" if change == "opened" else "breaker_closed"
    provider_log.note(provider, event, text, about(reason=text))


def _log_call(attempt: Attempt, answer: Answer, seconds: float) -> None:
    outcome = type(answer).__name__
    logger.debug(
        "%s: attempt %d of %s: %s after %.3f s",
        *(attempt.provider, attempt.attempt, attempt.correlation_id, outcome, seconds),
        extra=about(
            event="call_ended",
            provider=attempt.provider,
            correlation_id=attempt.correlation_id,
            attempt=attempt.attempt,
            outcome=outcome,
            duration_seconds=round(seconds, 6),
        ),
    )
