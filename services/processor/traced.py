"""The parts of a processor whose work is traced: each does as its base does, and records spans.

What a payment's steps have in common is held in a context variable of the task that handles the payment.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import urlsplit

from tollgate.contract.events import Event, LedgerPurged, PaymentRouted, ProviderName
from tollgate.contract.subjects import REQUESTED, subject_of
from tollgate.messaging.log import Appended
from tollgate.processor.charging.attempts import Attempts
from tollgate.processor.charging.handler import PaymentHandler, Result, Work
from tollgate.processor.charging.outcomes import (
    Answer,
    Attempt,
    Charged,
    Duplicate,
    LookupAnswer,
    NoAnswer,
    OutsideContract,
    Refused,
)
from tollgate.processor.charging.payment_states import PaymentStates
from tollgate.processor.charging.ports import (
    BrokerAlignedClock,
    LogAppender,
    LogFollower,
    PaymentLookup,
    PaymentRouter,
    Providers,
)
from tollgate.processor.charging.provider import Provider
from tollgate.runtime.clock import Clock
from tollgate.runtime.tracing import Attributes, Kind, Span, Traces, messaging


@dataclass(slots=True)
class _Taken:
    """A request as it was taken from the queue. `since_us` is the end of the last step that has a span."""

    stored_at_us: int
    since_us: int
    deliveries: int
    is_wait_recorded: bool = False


@dataclass(slots=True)
class _Call:
    """A call of a provider. `status` is that of the answer; None if there was none."""

    provider: ProviderName
    correlation_id: str
    name: str
    method: str
    began_us: int
    status: int | None = None


_taken: ContextVar[_Taken | None] = ContextVar("taken", default=None)
_call: ContextVar[_Call | None] = ContextVar("call", default=None)


class TracedPaymentHandler(PaymentHandler):
    """Notes when a payment was taken from the queue."""

    def __init__(
        self,
        log: LogAppender,
        follower: LogFollower,
        payment_states: PaymentStates,
        attempts: Attempts,
        router: PaymentRouter,
        *,
        read_model: PaymentLookup,
        clock: BrokerAlignedClock,
        system_clock: Clock,
        traces: Traces,
    ) -> None:
        parts = (log, follower, payment_states, attempts, router)
        super().__init__(*parts, read_model=read_model, clock=clock, system_clock=system_clock)
        self._traces = traces

    async def handle(self, work: Work) -> Result:
        """As `PaymentHandler.handle`."""
        if self._traces.samples(work.request.correlation_id):
            _taken.set(_Taken(work.stored_at_us, self._traces.now_us(), work.deliveries))
        return await super().handle(work)


class TracedAppender:
    """Records each append; before an intent, also the wait in the queue and the decision that led to it.

    A payment that is put back often leaves one span for its whole wait, not one for each delivery.
    """

    def __init__(self, log: LogAppender, traces: Traces) -> None:
        self._log = log
        self._traces = traces

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        """As the log's `append`. What was not stored leaves no span."""
        if isinstance(event, LedgerPurged) or not self._traces.samples(event.correlation_id):
            return await self._log.append(event, timeout_seconds=timeout_seconds)
        began_us = self._traces.now_us()
        taken = _taken.get()
        if isinstance(event, PaymentRouted) and taken is not None:
            self._decided(event, taken, began_us)
        appended = await self._log.append(event, timeout_seconds=timeout_seconds)
        ended_us = self._traces.now_us()
        if taken is not None:
            taken.since_us = ended_us
        subject = subject_of(event)
        attributes = messaging("append", "send", subject, event.correlation_id, sequence=appended.sequence)
        name = f"append {subject}"
        self._traces.record(Span(event.correlation_id, name, Kind.PRODUCER, began_us, ended_us, attributes))
        return appended

    def _decided(self, intent: PaymentRouted, taken: _Taken, now_us: int) -> None:
        correlation_id = intent.correlation_id
        if not taken.is_wait_recorded:
            taken.is_wait_recorded = True
            attributes = messaging("wait", "receive", REQUESTED, correlation_id, deliveries=taken.deliveries)
            name = f"wait {REQUESTED}"
            self._traces.record(
                Span(correlation_id, name, Kind.CONSUMER, taken.stored_at_us, taken.since_us, attributes)
            )
        decision: Attributes = {
            "tollgate.provider": intent.provider,
            "tollgate.attempt": intent.attempt,
            "tollgate.decision.reason": intent.why,
        }
        self._traces.record(Span(correlation_id, "decide", Kind.INTERNAL, taken.since_us, now_us, decision))


class TracedProviders:
    """Records each call of a provider, with the status that `note_status` was given."""

    def __init__(self, providers: Providers, addresses: Mapping[ProviderName, Provider], traces: Traces) -> None:
        self._providers = providers
        self._servers = {name: _server(provider.url) for name, provider in addresses.items()}
        self._traces = traces

    async def send(self, attempt: Attempt) -> Answer:
        """Sends the attempt, the same bytes each time."""
        if not self._traces.samples(attempt.correlation_id):
            return await self._providers.send(attempt)
        call = self._begin(attempt.provider, attempt.correlation_id, f"charge {attempt.provider}", "POST")
        answer = await self._providers.send(attempt)
        error = "" if isinstance(answer, Charged | Duplicate | Refused) else answer.why
        self._end(call, answer, error, {"tollgate.attempt": attempt.attempt})
        return answer

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        """Requests the provider's record of the payment."""
        if not self._traces.samples(correlation_id):
            return await self._providers.look_up(provider, correlation_id)
        call = self._begin(provider, correlation_id, f"look up {provider}", "GET")
        answer = await self._providers.look_up(provider, correlation_id)
        self._end(call, answer, answer.why if isinstance(answer, NoAnswer | OutsideContract) else "", {})
        return answer

    def _begin(self, provider: ProviderName, correlation_id: str, name: str, method: str) -> _Call:
        call = _Call(provider, correlation_id, name, method, self._traces.now_us())
        _call.set(call)
        return call

    def _end(self, call: _Call, answer: Answer | LookupAnswer, error: str, more: Attributes) -> None:
        ended_us = self._traces.now_us()
        outcome = type(answer).__name__
        attributes: dict[str, str | int | bool] = {
            "http.request.method": call.method,
            **self._servers[call.provider],
            "tollgate.provider": call.provider,
            "tollgate.outcome": outcome,
            **more,
        }
        if call.status is not None:
            attributes["http.response.status_code"] = call.status
        if error:
            attributes["error.type"] = outcome if call.status is None else str(call.status)
        self._traces.record(
            Span(call.correlation_id, call.name, Kind.CLIENT, call.began_us, ended_us, attributes, error)
        )
        if (taken := _taken.get()) is not None:
            taken.since_us = ended_us


def note_status(status: int) -> None:
    """For the HTTP client of the providers: the status of the answer to the call of this task."""
    if (call := _call.get()) is not None:
        call.status = status


def _server(url: str) -> Attributes:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}
