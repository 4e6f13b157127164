"""The HTTP client of both providers: sends attempts, looks payments up, and maps the answers by contract."""

import time
from collections.abc import Callable, Mapping

from tollgate.contract.events import ProviderName
from tollgate.contract.money import format_cents
from tollgate.contract.timestamps import MICROSECONDS, format_us
from tollgate.processor.charging.http_client import CutOffError, HttpClient, NotSentError, Origin
from tollgate.processor.charging.outcomes import (
    Answer,
    Attempt,
    Charged,
    LookupAnswer,
    NoAnswer,
    NotReached,
    OutsideContract,
    Unknown,
)
from tollgate.processor.charging.ports import ProviderNotes
from tollgate.processor.charging.provider import Provider
from tollgate.processor.charging.provider_log import of_attempt
from tollgate.runtime.log_fields import about

LOOKUP_TIMEOUT_SECONDS = 5.0


class ProviderClient:
    """Both providers. For use inside an event loop."""

    def __init__(
        self,
        providers: Mapping[ProviderName, Provider],
        *,
        provider_log: ProviderNotes,
        timeout_seconds: float,
        connections_max: int,
        on_status: Callable[[int], None] | None = None,
    ) -> None:
        self._contracts = {name: provider.contract for name, provider in providers.items()}
        self._origins = {name: Origin.of(provider.url, provider.headers) for name, provider in providers.items()}
        self._timeout_seconds = timeout_seconds
        self._client = HttpClient(connections_max=connections_max)
        self._provider_log = provider_log
        self._on_status = on_status

    async def close(self) -> None:
        self._client.close()

    async def send(self, attempt: Attempt) -> Answer:
        """Sends the attempt, the same bytes each time. Never raises for the network."""
        origin, began = self._origins[attempt.provider], time.monotonic()
        request = origin.post("/payments", attempt_body(attempt))
        try:
            received = await self._client.ask(origin, request, timeout_seconds=self._timeout_seconds)
        except NotSentError as error:
            return NotReached(f"no connection: {error}")
        except TimeoutError:
            return Unknown("no answer in time")
        except CutOffError as error:
            return Unknown(f"cut off: {error}")
        self._note_status(received.reply.status)
        answer = self._contracts[attempt.provider].payment_answer(received.reply)
        if isinstance(answer, Charged):
            # Not before it was asked for: earlier bytes of the connection would be of another answer.
            seconds_ago = time.monotonic() - max(received.arrived_at, began)
            return Charged(round(seconds_ago * MICROSECONDS))
        if isinstance(answer, OutsideContract):
            what = f"{answer.why}; in doubt ({attempt.correlation_id})"
            self._provider_log.note(attempt.provider, "answer_outside_contract", what, of_attempt(attempt, answer.why))
        return answer

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        """Looks the payment up at the provider. Never raises for the network."""
        origin = self._origins[provider]
        request = origin.get(f"/payments/{correlation_id}")
        try:
            received = await self._client.ask(
                origin, request, timeout_seconds=LOOKUP_TIMEOUT_SECONDS, is_repeatable=True
            )
        except TimeoutError:
            return NoAnswer("lookup not answered in time")
        except (NotSentError, CutOffError) as error:
            return NoAnswer(f"lookup failed: {error}")
        self._note_status(received.reply.status)
        answer = self._contracts[provider].lookup_answer(received.reply, correlation_id)
        if isinstance(answer, OutsideContract):
            fields = about(correlation_id=correlation_id, reason=answer.why)
            self._provider_log.note(provider, "lookup_outside_contract", answer.why, fields)
        return answer

    def _note_status(self, status: int) -> None:
        if self._on_status is not None:
            self._on_status(status)


def attempt_body(attempt: Attempt) -> bytes:
    """The attempt's request body: a function of the recorded intent alone, so that every sending has the same bytes."""
    return (
        f'{{"correlationId":"{attempt.correlation_id}",'
        f'"amount":{format_cents(attempt.amount_cents)},'
        f'"requestedAt":"{format_us(attempt.requested_at_us)}"}}'
    ).encode()
