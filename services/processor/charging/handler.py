"""One delivered request: its payment is routed and charged, until it ends, is in doubt, or goes back to the queue.

Every step that could charge is written to the log first, and taken only after the log was read up to that event and the
event is valid there (see `contract/payment_state.py`). So several replicas may work on the same payment.

An attempt whose outcome is unknown is put in doubt. That event is a unit of work in a queue of its own
(`doubt_handler.py`), and the request is done.
"""

import logging
import random
from dataclasses import dataclass

from tollgate.contract.events import PaymentRequested, PaymentRouted, ProviderName
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted, may_be_repeat
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.messaging.log import Appended
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.processor.charging.attempts import (
    INTENT_TIMEOUT_SECONDS,
    Attempts,
    outcome_of,
)
from tollgate.processor.charging.payment_states import PaymentStates
from tollgate.processor.charging.ports import BrokerAlignedClock, LogAppender, LogFollower, PaymentLookup, PaymentRouter
from tollgate.processor.routing import Route
from tollgate.runtime.clock import Clock
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

STAMP_AGE_SECONDS_MAX = 1.0
"""An attempt is sent only while its stamp is younger: an older stamp is in the log already, or is never sent."""
REPEAT_CHECK_TIMEOUT_SECONDS = 2.0
CLOCK_PAUSE_SECONDS = 1.0
"""The shortest pause of a payment that cannot be routed because this replica's clock is off; another may take it."""
ATTEMPTS_MAX = 4
"""Attempts in one delivery; after that the payment goes back to the queue."""
RETRY_SECONDS_MIN = 0.25
RETRY_SECONDS_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do here: the payment has ended, or an event in the log is the next unit of work."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The payment goes back to the queue for `delay_seconds`."""

    delay_seconds: float


Result = Done | Retry


@dataclass(frozen=True, slots=True)
class Work:
    """A delivered request: its sequence, how often it was delivered, and when the broker stored it."""

    request: PaymentRequested
    sequence: int
    deliveries: int
    stored_at_us: int


def retry_delay_seconds(deliveries: int, spread: float, *, longest: float = RETRY_SECONDS_MAX) -> float:
    """Exponential backoff with jitter: `spread` in [0, 1) places it between half of the pause and all of it."""
    pause = min(RETRY_SECONDS_MIN * 2 ** min(deliveries - 1, 16), longest)
    return float(pause * (1 + spread) / 2)


class PaymentHandler:
    """Joins the pure parts (outcomes, routing, payment state) to the log and the providers."""

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
    ) -> None:
        self._system_clock = system_clock
        self._clock = clock
        self._read_model = read_model
        self._log = log
        self._follower = follower
        self._payment_states = payment_states
        self._attempts = attempts
        self._router = router

    @property
    def may_take(self) -> bool:
        """Whether requests may be taken: the log is the one that was read, and no message of it is missing."""
        return self._follower.may_take

    async def handle(self, work: Work) -> Result:
        """Works on the payment until it ends, is in doubt, or has to wait.

        Raises BrokerError and ReadModelUnavailableError; the request is then delivered again.
        """
        if may_be_repeat(work.request, work.stored_at_us) and (result := await self._check_repeat(work)) is not None:
            return result
        for _ in range(ATTEMPTS_MAX):
            result = None
            match await self._payment_state(work):
                case Ended():
                    return Done()
                case Open(attempt, in_doubt=True):
                    return self._left_in_doubt(attempt)
                case Unrouted(number):
                    result = await self._route_and_send(work, number)
                case Open(attempt, is_late=True):
                    self._clock.suspect()
                    await self._attempts.release_unsent(attempt, "it was stored too late", INTENT_TIMEOUT_SECONDS)
                case Open(attempt):
                    # Another replica, or an earlier delivery here, recorded it, and may have sent it.
                    await self._attempts.put_in_doubt(
                        *(attempt, "found open in the log", work.sequence, INTENT_TIMEOUT_SECONDS)
                    )
            if result is not None:
                return result
        return self._retry(work)

    async def _check_repeat(self, work: Work) -> Result | None:
        """Done if the request is a repeat, Retry if that cannot be checked; None if it is new."""
        try:
            known = await self._read_model.payment(
                work.request.correlation_id, timeout_seconds=REPEAT_CHECK_TIMEOUT_SECONDS
            )
        except ReadModelUnavailableError as error:
            logger.warning(
                "request %d was stored late and cannot be checked for a repeat: %s",
                *(work.sequence, error),
                extra=about(correlation_id=work.request.correlation_id, sequence=work.sequence),
            )
            return self._retry(work)
        return Done() if known is not None and known.request_sequence < work.sequence else None

    async def _payment_state(self, work: Work) -> PaymentState:
        return await self._payment_states.of(work.request.correlation_id, work.sequence)

    async def _route_and_send(self, work: Work, number: int) -> Result | None:
        if not (self._clock.is_right and self._follower.may_take):
            return self._retry(work, at_least_seconds=CLOCK_PAUSE_SECONDS)
        decided_at = self._system_clock.monotonic_seconds()
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
            self._withdraw(decision.provider, decided_at)
            raise
        if intent is None:
            self._withdraw(decision.provider, decided_at)
            return None
        return await self._send(work, intent, decided_at)

    async def _intend(self, work: Work, number: int, decision: Route) -> PaymentRouted | None:
        """Records the attempt; None when it must not be sent."""
        request = work.request
        async with self._attempts.appending:
            # Checked again: the wait for a free append may have been long.
            if not self._clock.is_right:
                return None
            # Stamped after that wait, not before.
            intent = PaymentRouted(
                request.correlation_id,
                request.amount_cents,
                number,
                decision.provider,
                self._system_clock.now_us(),
                decision.why,
            )
            stamped_at = self._system_clock.monotonic_seconds()
            appended = await self._log.append(intent, timeout_seconds=INTENT_TIMEOUT_SECONDS)
        await self._follower.reached(appended.sequence, timeout_seconds=INTENT_TIMEOUT_SECONDS)
        if not await self._is_mine(work, intent, appended):
            self._attempts.note_void(intent)
            return None
        # Both clocks: one jumps when it is set, the other stands still while the machine sleeps.
        age_seconds = max(
            self._system_clock.monotonic_seconds() - stamped_at,
            (self._system_clock.now_us() - intent.requested_at_us) / MICROSECONDS,
        )
        if age_seconds > STAMP_AGE_SECONDS_MAX:
            await self._attempts.release_unsent(intent, "its stamp had grown too old", INTENT_TIMEOUT_SECONDS)
            return None
        return intent

    async def _is_mine(self, work: Work, intent: PaymentRouted, appended: Appended) -> bool:
        """Whether the log, read up to the intent, has it as the payment's open attempt, neither in doubt nor late."""
        match await self._payment_state(work):
            case Open(attempt, sequence, in_doubt=False, is_late=False):
                return sequence == appended.sequence and attempt == intent
            case _:
                return False

    async def _send(self, work: Work, attempt: PaymentRouted, decided_at: float) -> Result | None:
        answer = await self._attempts.send(attempt)
        now = self._system_clock.monotonic_seconds()
        self._router.observe(attempt.provider, outcome_of(answer), now, seconds=now - decided_at)
        step = await self._attempts.judge(attempt, answer, in_doubt=False)
        return Done() if await self._attempts.record(attempt, step, work.sequence) else None

    def _left_in_doubt(self, attempt: PaymentRouted) -> Done:
        """The request is done: the doubt in the log is handled from its own queue."""
        self._router.observe_doubts(attempt.provider, are_there=True)
        return Done()

    def _withdraw(self, provider: ProviderName, taken_at: float) -> None:
        now = self._system_clock.monotonic_seconds()
        self._router.withdraw(provider, now, seconds=now - taken_at)

    @staticmethod
    def _retry(work: Work, *, at_least_seconds: float = 0.0) -> Retry:
        return Retry(max(retry_delay_seconds(work.deliveries, random.random()), at_least_seconds))  # noqa: S311


def _spread(seconds: float) -> float:
    """1 to 1.5 times `seconds`, so that payments that were put back together do not come back together."""
    return seconds * (1 + random.random() / 2)  # noqa: S311
