"""One delivered payment from its request to its outcome, or to the moment it goes back to the queue.

Every step that could charge is written to the log first, and taken only after the log was read up to that writing and
found to hold it valid (see `contract/standing.py`). So it does not matter who else works on the same payment.
"""

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import Protocol

from contract.events import (
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
    ProcessorName,
)
from contract.standing import Ended, Open, Standing, Unrouted, may_be_repeat
from contract.timestamps import MICROSECONDS, now_us
from processor.charging import (
    Answer,
    Attempt,
    Charged,
    Duplicate,
    LookUp,
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
from processor.client import ProcessorClient
from processor.follower import Follower
from processor.routing import Outcome, Route, Router
from runtime.log import Appended
from runtime.read_model import ReadModel, ReadModelUnavailableError

logger = logging.getLogger(__name__)

INTENT_TIMEOUT_SECONDS = 5.0
OUTCOME_TIMEOUT_SECONDS = 30.0
"""An outcome that cannot be recorded for so long is left to the redelivery, which finds it at the processor."""
STAMP_AGE_SECONDS_MAX = 1.0
"""An attempt is sent only while its stamp is younger: what was stamped a second ago is in the log, or is never sent."""
RESEND_SECONDS_MAX = 5.0
"""An attempt in doubt is sent again only so soon after the log was asked whether an operator holds it."""
APPENDS_MAX = 128
"""Events on their way to the log at once; the next waits. The broker stores one after the other, so more would not be
stored sooner, but the requests that gateways are waiting to accept would stand behind all of them."""
REPEAT_CHECK_TIMEOUT_SECONDS = 2.0
CLOCK_PAUSE_SECONDS = 1.0
"""The least pause of a payment that cannot be routed because this replica's clock is off; another may take it."""
ATTEMPTS_MAX = 4
"""Attempts in one delivery; after that the payment goes back to the queue."""
RETRY_SECONDS_MIN = 0.25
RETRY_SECONDS_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Done:
    """The payment has ended and its end is in the log."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The payment goes back to the queue for `delay_seconds`."""

    delay_seconds: float


Result = Done | Retry


@dataclass(frozen=True, slots=True)
class Work:
    """A delivered request: its place in the log, how often it was delivered, and when the broker stored it."""

    request: PaymentRequested
    sequence: int
    deliveries: int
    stored_at_us: int


def retry_delay_seconds(deliveries: int, spread: float) -> float:
    """Exponential with full half jitter: `spread` in [0, 1) places it between half of the pause and all of it."""
    pause = min(RETRY_SECONDS_MIN * 2 ** min(deliveries - 1, 16), RETRY_SECONDS_MAX)
    return float(pause * (1 + spread) / 2)


class Appender(Protocol):
    """What stores events: the log itself, or in groups."""

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended: ...


class Clock(Protocol):
    """The time of day, and whether it is near enough to the broker's for an intent's stamp."""

    @property
    def is_right(self) -> bool: ...

    def now_us(self) -> int: ...

    def suspect(self) -> None: ...


class PaymentHandler:
    """Joins the pure parts (charging, routing, standing) to the log and the payment processors."""

    def __init__(
        self,
        log: Appender,
        follower: Follower,
        client: ProcessorClient,
        router: Router,
        read_model: ReadModel,
        *,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._read_model = read_model
        self._log = log
        self._follower = follower
        self._client = client
        self._router = router
        self._appending = asyncio.Semaphore(APPENDS_MAX)

    async def handle(self, work: Work) -> Result:
        """Works on the payment until it ends or has to wait. Raises BrokerError; it is then delivered again."""
        if may_be_repeat(work.request, work.stored_at_us) and (result := await self._check_repeat(work)) is not None:
            return result
        for _ in range(ATTEMPTS_MAX):
            match await self._standing(work):
                case Ended():
                    return Done()
                case Unrouted(number):
                    result = await self._route_and_send(work, number)
                case Open(attempt, is_held=True):
                    result = await self._look_for_charge(work, attempt)
                case Open(attempt, in_doubt=False, is_late=True):
                    self._clock.suspect()
                    await self._append(_released(attempt, "not sent: it was stored too late"), INTENT_TIMEOUT_SECONDS)
                    result = None
                case Open(attempt, in_doubt=in_doubt):
                    result = await self._take_over(work, attempt, in_doubt=in_doubt)
            if result is not None:
                return result
        return self._retry(work)

    async def _check_repeat(self, work: Work) -> Result | None:
        """Done for a payment that an earlier request in the log asked for already."""
        try:
            known = await self._read_model.payment(
                work.request.correlation_id, timeout_seconds=REPEAT_CHECK_TIMEOUT_SECONDS
            )
        except ReadModelUnavailableError as error:
            logger.warning("request %d was stored late and cannot be checked yet: %s", work.sequence, error)
            return self._retry(work)
        return Done() if known is not None and known.request_sequence < work.sequence else None

    async def _standing(self, work: Work) -> Standing:
        known = self._follower.journal.standing(work.request.correlation_id, work.sequence)
        return known or await self._follower.scan(work.request.correlation_id, work.sequence)

    async def _route_and_send(self, work: Work, number: int) -> Result | None:
        if not self._clock.is_right:
            return self._retry(work, at_least_seconds=CLOCK_PAUSE_SECONDS)
        decided_at = time.monotonic()
        decision = self._router.decide(
            decided_at,
            amount_cents=work.request.amount_cents,
            # Not since `accepted_at_us`: gateways have clocks of their own.
            waited_seconds=max(self._clock.now_us() - work.stored_at_us, 0) / MICROSECONDS,
        )
        if not isinstance(decision, Route):
            return Retry(_spread(decision.seconds))
        try:
            intent = await self._intend(work, number, decision)
        except BaseException:
            self._withdraw(decision.processor, decided_at)
            raise
        if intent is None:
            self._withdraw(decision.processor, decided_at)
            return None
        return await self._send(work, intent, decided_at, in_doubt=False)

    async def _intend(self, work: Work, number: int, decision: Route) -> PaymentRouted | None:
        """Records the attempt; None when it must not be sent."""
        request = work.request
        async with self._appending:
            # Looked at again: the turn may have been long in coming.
            if not self._clock.is_right:
                return None
            # Stamped when its turn has come, not before.
            intent = PaymentRouted(
                request.correlation_id, request.amount_cents, number, decision.processor, now_us(), decision.why
            )
            stamped_at = time.monotonic()
            appended = await self._log.append(intent, timeout_seconds=INTENT_TIMEOUT_SECONDS)
        await self._follower.reached(appended.sequence, timeout_seconds=INTENT_TIMEOUT_SECONDS)
        if not await self._is_mine(work, intent, appended):
            return None
        # Both clocks: one jumps when it is set, the other stands still while the machine sleeps.
        age_seconds = max(time.monotonic() - stamped_at, (now_us() - intent.requested_at_us) / MICROSECONDS)
        if age_seconds > STAMP_AGE_SECONDS_MAX:
            await self._append(_released(intent, "not sent: its stamp had grown too old"), INTENT_TIMEOUT_SECONDS)
            return None
        return intent

    async def _is_mine(self, work: Work, intent: PaymentRouted, appended: Appended) -> bool:
        """Whether the log, read up to the intent, holds it as the payment's open attempt that nobody has doubted."""
        match await self._standing(work):
            case Open(attempt, sequence, in_doubt=False, is_late=False):
                return sequence == appended.sequence and attempt == intent
            case _:
                return False

    async def _take_over(self, work: Work, attempt: Attempt, *, in_doubt: bool) -> Result | None:
        """Sends an attempt again that somebody, perhaps this very process, recorded before."""
        now = time.monotonic()
        pause_seconds = self._router.pause_seconds(attempt.processor, now)
        if pause_seconds > 0:
            return self._retry(work, at_least_seconds=pause_seconds)
        if not in_doubt:
            await self._append(_in_doubt(attempt, "found open in the log"), INTENT_TIMEOUT_SECONDS)
            return None
        self._router.resend(attempt.processor, now)
        try:
            record = await self._client.look_up(attempt.processor, attempt.correlation_id)
            step = after_lookup(attempt, None, record, in_doubt=True)
            may_send = isinstance(step, SendAgain) and await self._may_send_again(work, attempt)
        except BaseException:
            self._withdraw(attempt.processor, now)
            raise
        if may_send:
            return await self._send(work, attempt, now, in_doubt=True)
        if isinstance(step, SendAgain):
            self._withdraw(attempt.processor, now)
            return self._retry(work)
        outcome: Outcome = "succeeded" if isinstance(step, Settle) else "failed"
        self._router.observe(attempt.processor, outcome, time.monotonic())
        return await self._take(work, attempt, step, in_doubt=True)

    async def _may_send_again(self, work: Work, attempt: Attempt) -> bool:
        """Whether the attempt is still open, and no operator holds it, as far as the log says at this moment."""
        asked_at, asked_at_us = time.monotonic(), now_us()
        await self._follower.caught_up(attempt.processor, timeout_seconds=RESEND_SECONDS_MAX)
        standing = await self._standing(work)
        # Both clocks, as for the stamp.
        age_seconds = max(time.monotonic() - asked_at, (now_us() - asked_at_us) / MICROSECONDS)
        if age_seconds > RESEND_SECONDS_MAX:
            return False
        return isinstance(standing, Open) and standing.attempt == attempt and not standing.is_held

    async def _look_for_charge(self, work: Work, attempt: Attempt) -> Result | None:
        """All that is done with an attempt that an operator holds: a charge that is found still ends it."""
        record = await self._client.look_up(attempt.processor, attempt.correlation_id)
        step = after_lookup(attempt, None, record, in_doubt=True)
        if isinstance(step, SendAgain):
            return self._retry(work)
        return await self._take(work, attempt, step, in_doubt=True)

    async def _send(self, work: Work, attempt: Attempt, decided_at: float, *, in_doubt: bool) -> Result | None:
        answer = await self._client.send(attempt)
        now = time.monotonic()
        self._router.observe(attempt.processor, _outcome(answer), now, seconds=now - decided_at)
        step = after_sending(attempt, answer, in_doubt=in_doubt)
        if isinstance(step, LookUp):
            record = await self._client.look_up(attempt.processor, attempt.correlation_id)
            step = after_lookup(attempt, answer, record, in_doubt=in_doubt)
        return await self._take(work, attempt, step, in_doubt=in_doubt)

    async def _take(self, work: Work, attempt: Attempt, step: Next, *, in_doubt: bool) -> Result | None:
        match step:
            case Settle(requested_at_us):
                await self._store(_processed(attempt, requested_at_us), OUTCOME_TIMEOUT_SECONDS)
                return Done()
            case Reject(reason):
                await self._append(_rejected(attempt, reason), OUTCOME_TIMEOUT_SECONDS)
                # Back to the standing: another replica may have put the attempt in doubt meanwhile.
                return None
            case Release(why):
                await self._append(_released(attempt, why), OUTCOME_TIMEOUT_SECONDS)
                return None
            case StayInDoubt(why):
                if not in_doubt:
                    await self._append(_in_doubt(attempt, why), OUTCOME_TIMEOUT_SECONDS)
                return self._retry(work)
            case LookUp() | SendAgain():
                raise AssertionError(f"{step} is no end of a sending")

    async def _append(self, event: Event, timeout_seconds: float) -> Appended:
        """Writes the event and reads the log up to it."""
        appended = await self._store(event, timeout_seconds)
        await self._follower.reached(appended.sequence, timeout_seconds=timeout_seconds)
        return appended

    async def _store(self, event: Event, timeout_seconds: float) -> Appended:
        """Writes the event when its turn has come."""
        async with self._appending:
            return await self._log.append(event, timeout_seconds=timeout_seconds)

    def _withdraw(self, processor: ProcessorName, taken_at: float) -> None:
        now = time.monotonic()
        self._router.withdraw(processor, now, seconds=now - taken_at)

    @staticmethod
    def _retry(work: Work, *, at_least_seconds: float = 0.0) -> Retry:
        return Retry(max(retry_delay_seconds(work.deliveries, random.random()), at_least_seconds))  # noqa: S311


def _spread(seconds: float) -> float:
    """Between all and three halves of it, so that what was put back together does not come back together."""
    return seconds * (1 + random.random() / 2)  # noqa: S311


def _outcome(answer: Answer) -> Outcome:
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


def _processed(attempt: Attempt, requested_at_us: int) -> PaymentProcessed:
    return PaymentProcessed(
        attempt.correlation_id, attempt.amount_cents, attempt.attempt, attempt.processor, requested_at_us, now_us()
    )


def _rejected(attempt: Attempt, reason: str) -> PaymentRejected:
    return PaymentRejected(attempt.correlation_id, attempt.amount_cents, reason, attempt.attempt)


def _released(attempt: Attempt, why: str) -> PaymentReleased:
    return PaymentReleased(attempt.correlation_id, attempt.attempt, attempt.processor, why)


def _in_doubt(attempt: Attempt, why: str) -> PaymentInDoubt:
    return PaymentInDoubt(attempt.correlation_id, attempt.attempt, attempt.processor, why)
