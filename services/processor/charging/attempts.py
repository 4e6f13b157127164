"""One attempt: sent, its answer judged, and what that proves recorded in the log."""

import asyncio
from typing import Protocol

from tollgate.contract.events import (
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    ProviderName,
)
from tollgate.contract.timestamps import now_us
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
from tollgate.processor.charging.provider_client import ProviderClient
from tollgate.processor.charging.state_follower import Follower
from tollgate.processor.routing import Outcome

INTENT_TIMEOUT_SECONDS = 5.0
OUTCOME_TIMEOUT_SECONDS = 30.0
"""An outcome that cannot be recorded for so long is left to the redelivery, which finds it at the processor."""
APPENDS_MAX = 128
"""Events on their way to the log at once; the next waits. The broker stores one after the other, so more would not be
stored sooner, but the requests that gateways are waiting to accept would stand behind all of them."""


class Appender(Protocol):
    """What stores events: the log itself, or in groups."""

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended: ...


class Attempts:
    """What is done with an attempt, whoever has its payment in hand. Everything raises BrokerError."""

    def __init__(self, log: Appender, follower: Follower, client: ProviderClient) -> None:
        self._log = log
        self._follower = follower
        self._client = client
        self.appending = asyncio.Semaphore(APPENDS_MAX)

    async def send(self, attempt: Attempt) -> Answer:
        """Sends it; what came back."""
        return await self._client.send(attempt)

    async def judge(self, attempt: Attempt, answer: Answer, *, in_doubt: bool) -> Next:
        """What the answer to a sending proves, with the provider's record where it takes that to know."""
        step = after_sending(attempt, answer, in_doubt=in_doubt)
        if isinstance(step, LookUp):
            record = await self.look_up(attempt.provider, attempt.correlation_id)
            step = after_lookup(attempt, answer, record, in_doubt=in_doubt)
        return step

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        """Asks the provider for its record."""
        return await self._client.look_up(provider, correlation_id)

    async def record(self, attempt: Attempt, step: Next, request_sequence: int | None) -> bool:
        """Records what was proven; whether that ends the payment. If not, its standing tells how it goes on."""
        match step:
            case Settle(requested_at_us):
                await self.store(_processed(attempt, requested_at_us), OUTCOME_TIMEOUT_SECONDS)
                return True
            case Reject(reason):
                # No end for sure: another replica may have put the attempt in doubt meanwhile.
                await self.append(_rejected(attempt, reason), OUTCOME_TIMEOUT_SECONDS)
            case Release(why):
                await self.append(released(attempt, why), OUTCOME_TIMEOUT_SECONDS)
            case StayInDoubt(why):
                await self.append(in_doubt(attempt, why, request_sequence), OUTCOME_TIMEOUT_SECONDS)
            case LookUp() | SendAgain():
                raise AssertionError(f"{step} is no end of a sending")
        return False

    async def append(self, event: Event, timeout_seconds: float) -> Appended:
        """Writes the event and reads the log up to it."""
        appended = await self.store(event, timeout_seconds)
        await self._follower.reached(appended.sequence, timeout_seconds=timeout_seconds)
        return appended

    async def store(self, event: Event, timeout_seconds: float) -> Appended:
        """Writes the event when its turn has come."""
        async with self.appending:
            return await self._log.append(event, timeout_seconds=timeout_seconds)


def outcome_of(answer: Answer) -> Outcome:
    """What the answer says of the processor, whatever it says of the payment."""
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
    """It was not charged: proven."""
    return PaymentReleased(attempt.correlation_id, attempt.attempt, attempt.provider, why)


def in_doubt(attempt: Attempt, why: str, request_sequence: int | None) -> PaymentInDoubt:
    """Whether it was charged is not known."""
    return PaymentInDoubt(
        attempt.correlation_id, attempt.attempt, attempt.provider, why, request_sequence=request_sequence
    )


def _processed(attempt: Attempt, requested_at_us: int) -> PaymentProcessed:
    return PaymentProcessed(
        attempt.correlation_id, attempt.amount_cents, attempt.attempt, attempt.provider, requested_at_us, now_us()
    )


def _rejected(attempt: Attempt, reason: str) -> PaymentRejected:
    return PaymentRejected(attempt.correlation_id, attempt.amount_cents, reason, attempt.attempt)
