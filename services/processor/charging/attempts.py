"""Operations on one attempt: send it, judge the answer, record in the log what the answer proves."""

import asyncio

from tollgate.contract.events import (
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    ProviderName,
)
from tollgate.messaging.log import Appended
from tollgate.processor.charging.outcomes import (
    Answer,
    Attempt,
    Charged,
    Duplicate,
    LookUp,
    LookupAnswer,
    Next,
    NotReached,
    Refused,
    Reject,
    Release,
    SendAgain,
    Settle,
    StayInDoubt,
    Unknown,
    after_lookup,
    after_sending,
)
from tollgate.processor.charging.ports import LogAppender, LogFollower, ProviderNotes, Providers
from tollgate.processor.charging.provider_log import ProviderEvent, of_attempt
from tollgate.processor.routing import Outcome
from tollgate.runtime.clock import Clock
from tollgate.runtime.log_fields import about

INTENT_TIMEOUT_SECONDS = 5.0
OUTCOME_TIMEOUT_SECONDS = 30.0
"""An outcome that cannot be recorded within this is left to the redelivery, which looks it up at the provider."""
APPENDS_MAX = 128
"""Appends in flight at once; the next one waits. The broker stores one after the other, so more would not be stored
sooner, and the requests that gateways are waiting to accept would queue behind all of them."""


class Attempts:
    """The operations on an attempt, shared by all handlers. Those that append raise BrokerError."""

    def __init__(
        self, log: LogAppender, follower: LogFollower, client: Providers, clock: Clock, provider_log: ProviderNotes
    ) -> None:
        self._provider_log = provider_log
        self._clock = clock
        self._log = log
        self._follower = follower
        self._client = client
        self.appending = asyncio.Semaphore(APPENDS_MAX)

    async def send(self, attempt: Attempt) -> Answer:
        """Sends the attempt; returns the provider's answer."""
        return await self._client.send(attempt)

    async def judge(self, attempt: Attempt, answer: Answer, *, in_doubt: bool) -> Next:
        """What the answer to a sending proves. Looks the payment up where the answer alone does not decide."""
        step = after_sending(attempt, answer, in_doubt=in_doubt)
        if isinstance(step, LookUp):
            record = await self.look_up(attempt.provider, attempt.correlation_id)
            step = after_lookup(attempt, answer, record, in_doubt=in_doubt)
        return step

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        """Looks the payment up at the provider."""
        return await self._client.look_up(provider, correlation_id)

    async def record(self, attempt: Attempt, step: Next, request_sequence: int | None) -> bool:
        """Records what was proven. True if that ends the payment; if False, the next step follows from its state."""
        match step:
            case Settle(requested_at_us, arrived_us_ago):
                processed_at_us = self._clock.now_us() - arrived_us_ago
                await self.store(_processed(attempt, requested_at_us, processed_at_us), OUTCOME_TIMEOUT_SECONDS)
                return True
            case Reject(reason):
                # The rejection may be void: another replica may have put the attempt in doubt meanwhile.
                await self.append(_rejected(attempt, reason), OUTCOME_TIMEOUT_SECONDS)
                self._note(attempt, "payment_rejected", reason)
            case Release(why):
                await self.append(released(attempt, why), OUTCOME_TIMEOUT_SECONDS)
            case StayInDoubt(why):
                await self.put_in_doubt(attempt, why, request_sequence, OUTCOME_TIMEOUT_SECONDS)
            case LookUp() | SendAgain():
                raise AssertionError(f"{step} does not end a sending")
        return False

    async def put_in_doubt(
        self, attempt: Attempt, why: str, request_sequence: int | None, timeout_seconds: float
    ) -> None:
        """Records that the attempt may have been charged."""
        await self.append(in_doubt(attempt, why, request_sequence), timeout_seconds)
        self._note(attempt, "payment_in_doubt", why)

    async def release_unsent(self, attempt: Attempt, why: str, timeout_seconds: float) -> None:
        """Releases an attempt that was not sent, and must not be."""
        await self.append(released(attempt, f"not sent: {why}"), timeout_seconds)
        self._note(attempt, "attempt_not_sent", why)

    def note_void(self, intent: Attempt) -> None:
        """Logs that the intent must not be sent: by the log, another event has decided about the payment."""
        self._note(intent, "intent_void", f"attempt {intent.attempt}")

    def note_manual_resolution(self, event: PaymentInDoubt | PaymentReleased, what: str, sequence: int) -> None:
        """Logs that an operator holds or has released the attempt."""
        correlation_id, attempt = event.correlation_id, event.attempt
        fields = about(correlation_id=correlation_id, attempt=attempt, sequence=sequence, reason=what)
        text = f"attempt {attempt} {what} ({correlation_id})"
        self._provider_log.note(event.provider, "manual_resolution", text, fields)

    def note_doubt_ended(self, attempt: Attempt) -> None:
        """Logs that the charge of an attempt in doubt was found and recorded."""
        self._note(attempt, "doubt_ended", "charged")

    async def append(self, event: Event, timeout_seconds: float) -> Appended:
        """Stores the event and waits until the log has been read up to it."""
        appended = await self.store(event, timeout_seconds)
        await self._follower.reached(appended.sequence, timeout_seconds=timeout_seconds)
        return appended

    async def store(self, event: Event, timeout_seconds: float) -> Appended:
        """Stores the event, once fewer than APPENDS_MAX appends are in flight."""
        async with self.appending:
            return await self._log.append(event, timeout_seconds=timeout_seconds)

    def _note(self, attempt: Attempt, event: ProviderEvent, why: str) -> None:
        text = f"{why} ({attempt.correlation_id})"
        self._provider_log.note(attempt.provider, event, text, of_attempt(attempt, why))


def outcome_of(answer: Answer) -> Outcome:
    """What the answer shows about the provider, not about the payment."""
    match answer:
        case Charged() | Duplicate() | Refused():
            return "succeeded"
        case NotReached(is_busy=True):
            return "busy"
        case Unknown():
            return "unanswered"
        case _:
            return "failed"


def released(attempt: Attempt, why: str) -> PaymentReleased:
    """The event of an attempt that is proven not charged."""
    return PaymentReleased(attempt.correlation_id, attempt.attempt, attempt.provider, why)


def in_doubt(attempt: Attempt, why: str, request_sequence: int | None) -> PaymentInDoubt:
    """The event of an attempt that may have been charged."""
    return PaymentInDoubt(
        attempt.correlation_id, attempt.attempt, attempt.provider, why, request_sequence=request_sequence
    )


def _processed(attempt: Attempt, requested_at_us: int, processed_at_us: int) -> PaymentProcessed:
    return PaymentProcessed(
        attempt.correlation_id,
        attempt.amount_cents,
        attempt.attempt,
        attempt.provider,
        requested_at_us,
        processed_at_us,
    )


def _rejected(attempt: Attempt, reason: str) -> PaymentRejected:
    return PaymentRejected(attempt.correlation_id, attempt.amount_cents, reason, attempt.attempt)
