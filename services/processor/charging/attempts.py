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
from tollgate.processor.routing import Outcome
from tollgate.runtime.clock import Clock

INTENT_TIMEOUT_SECONDS = 5.0
OUTCOME_TIMEOUT_SECONDS = 30.0
"""An outcome that cannot be recorded within this is left to the redelivery, which looks it up at the provider."""
APPENDS_MAX = 128
"""Appends in flight at once; the next one waits. The broker stores one after the other, so more would not be stored
sooner, and the requests that gateways are waiting to accept would queue behind all of them."""


VOID_INTENTS = "void intents, which are not sent"


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
            case Settle(requested_at_us):
                await self.store(_processed(attempt, requested_at_us, self._clock.now_us()), OUTCOME_TIMEOUT_SECONDS)
                return True
            case Reject(reason):
                # The rejection may be void: another replica may have put the attempt in doubt meanwhile.
                await self.append(_rejected(attempt, reason), OUTCOME_TIMEOUT_SECONDS)
                self._provider_log.note(attempt.provider, "rejections recorded", f"{reason} ({attempt.correlation_id})")
            case Release(why):
                await self.append(released(attempt, why), OUTCOME_TIMEOUT_SECONDS)
            case StayInDoubt(why):
                await self.append(in_doubt(attempt, why, request_sequence), OUTCOME_TIMEOUT_SECONDS)
            case LookUp() | SendAgain():
                raise AssertionError(f"{step} does not end a sending")
        return False

    def note_void(self, intent: Attempt) -> None:
        """Logs that the intent must not be sent: by the log, another event has decided about the payment."""
        self._provider_log.note(intent.provider, VOID_INTENTS, f"attempt {intent.attempt} ({intent.correlation_id})")

    async def append(self, event: Event, timeout_seconds: float) -> Appended:
        """Stores the event and waits until the log has been read up to it."""
        appended = await self.store(event, timeout_seconds)
        await self._follower.reached(appended.sequence, timeout_seconds=timeout_seconds)
        return appended

    async def store(self, event: Event, timeout_seconds: float) -> Appended:
        """Stores the event, once fewer than APPENDS_MAX appends are in flight."""
        async with self.appending:
            return await self._log.append(event, timeout_seconds=timeout_seconds)


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
