"""The parts of a processor whose work is counted: each does as its base does, and counts."""

import time
from collections.abc import Sequence
from random import Random

from tollgate.contract.events import Event, ProviderName
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Appended, Log
from tollgate.messaging.log_watch import LogWatch
from tollgate.processor.charging.attempts import VOID_INTENTS
from tollgate.processor.charging.outcomes import Answer, Attempt, LookupAnswer
from tollgate.processor.charging.ports import Providers
from tollgate.processor.charging.provider_log import ProviderLog
from tollgate.processor.metrics import ProcessorMetrics
from tollgate.processor.routing import Decision, Policy, Route, Router


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
        super().__init__(policy, random, lambda provider, text: provider_log.note(provider, "circuit breaker", text))
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

    def note(self, provider: ProviderName, subject: str, text: str) -> None:
        """As `ProviderLog.note`."""
        if subject == VOID_INTENTS:
            self._metrics.void(provider)
        super().note(provider, subject, text)


class MeteredProviders:
    """Counts and measures attempts that are sent."""

    def __init__(self, providers: Providers, metrics: ProcessorMetrics) -> None:
        self._providers = providers
        self._metrics = metrics

    async def send(self, attempt: Attempt) -> Answer:
        """Sends the attempt, the same bytes each time."""
        began = time.perf_counter()
        answer = await self._providers.send(attempt)
        self._metrics.called(attempt.provider, type(answer).__name__, time.perf_counter() - began)
        return answer

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        """Requests the provider's record of the payment."""
        return await self._providers.look_up(provider, correlation_id)
