"""One delivered doubt: the payment is looked up at the provider, then the same attempt is sent again, until it ends.

Doubts have queues of their own, so that no other payment waits for them, however many there are and however long they
last (docs/decisions/0021). The unit of work is a PaymentInDoubt in the log. It is done when that attempt is no longer
in doubt: the payment has ended, or an operator released the attempt. The release is a unit of work of its own
(`release_handler.py`).
"""

import logging
import random
from dataclasses import dataclass

from tollgate.contract.events import PaymentInDoubt, ProviderName
from tollgate.contract.payment_state import Open
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.processor.charging.attempts import INTENT_TIMEOUT_SECONDS, Attempts, outcome_of
from tollgate.processor.charging.handler import Done, Result, Retry, retry_delay_seconds
from tollgate.processor.charging.histories import UnknownPaymentError
from tollgate.processor.charging.outcomes import Attempt, SendAgain, Settle, after_lookup
from tollgate.processor.charging.payment_states import PaymentStates
from tollgate.processor.charging.ports import DoubtRouter, LogFollower
from tollgate.runtime.clock import Clock
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

RESEND_SECONDS_MAX = 5.0
"""An attempt in doubt is sent again only within this of the check in the log that no operator holds it."""
RETRY_SECONDS_MAX = 30.0
"""The longest pause between two tries of a doubt; jitter leaves at least half of a pause."""
PROBE_RETRY_SECONDS_MAX = 4.0
"""The same for a doubt that probed a provider that is down: a few doubts suffice for all the probing."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A delivered PaymentInDoubt: its sequence, and how often it was delivered."""

    event: PaymentInDoubt
    sequence: int
    deliveries: int


class DoubtHandler:
    """Handles doubts by the rule of `contract/payment_state.py`, as `PaymentHandler` handles requests."""

    def __init__(
        self,
        follower: LogFollower,
        payment_states: PaymentStates,
        attempts: Attempts,
        router: DoubtRouter,
        *,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._follower = follower
        self._payment_states = payment_states
        self._attempts = attempts
        self._router = router

    async def handle(self, doubt: Doubt) -> Result:
        """Tries once to end the doubt.

        Raises BrokerError and ReadModelUnavailableError; the doubt is then delivered again.
        """
        if doubt.event.resolution is not None:
            # A hold by an operator. The attempt was in doubt before, so its doubt is in this queue already.
            self._attempts.note_manual_resolution(doubt.event, "held", doubt.sequence)
            return Done()
        await self._follower.reached(doubt.sequence, timeout_seconds=INTENT_TIMEOUT_SECONDS)
        try:
            open_attempt = await self._in_doubt(doubt)
        except UnknownPaymentError as error:
            logger.error(
                "the doubt at sequence %d stays in its queue, and is not handled: %s",
                *(doubt.sequence, error),
                extra=about(correlation_id=doubt.event.correlation_id, sequence=doubt.sequence),
            )
            return self._stays(doubt)
        if open_attempt is None:
            return Done()
        if open_attempt.is_held:
            return await self._look_for_charge(doubt, open_attempt.attempt)
        return await self._end(doubt, open_attempt.attempt)

    async def _in_doubt(self, doubt: Doubt) -> Open | None:
        """The attempt with its state; None when it is no longer in doubt."""
        event = doubt.event
        sequence = doubt.sequence if event.request_sequence is None else event.request_sequence
        is_request = event.request_sequence is not None
        match await self._payment_states.of(event.correlation_id, sequence, is_request=is_request):
            case Open(attempt, in_doubt=True) as payment_state if attempt.attempt == event.attempt:
                return payment_state
            case _:
                return None

    async def _look_for_charge(self, doubt: Doubt, attempt: Attempt) -> Result:
        """The only step for an attempt that an operator holds: a charge found by the lookup still ends it."""
        record = await self._attempts.look_up(attempt.provider, attempt.correlation_id)
        step = after_lookup(attempt, None, record, in_doubt=True)
        if not isinstance(step, Settle):
            return self._retry(doubt)
        await self._attempts.record(attempt, step, doubt.event.request_sequence)
        self._attempts.note_doubt_ended(attempt)
        return Done()

    async def _end(self, doubt: Doubt, attempt: Attempt) -> Result:
        """Looks the payment up, and sends the attempt again if there is no charge."""
        # A lookup takes no place: whether it is answered is no evidence of how payments are answered.
        record = await self._attempts.look_up(attempt.provider, attempt.correlation_id)
        step = after_lookup(attempt, None, record, in_doubt=True)
        if isinstance(step, SendAgain):
            return await self._send_again(doubt, attempt)
        if not isinstance(step, Settle):
            return self._stays(doubt)
        await self._attempts.record(attempt, step, doubt.event.request_sequence)
        self._attempts.note_doubt_ended(attempt)
        self._router.doubt_ended(attempt.provider)
        return Done()

    async def _send_again(self, doubt: Doubt, attempt: Attempt) -> Result:
        taken_at = self._clock.monotonic_seconds()
        pause_seconds = self._router.resend_pause_seconds(attempt.provider, taken_at)
        if pause_seconds > 0:
            return Retry(pause_seconds)
        is_probe = self._router.resend(attempt.provider, taken_at)
        try:
            if not await self._may_send_again(doubt, attempt):
                self._withdraw(attempt.provider, taken_at)
                return self._retry(doubt)
            answer = await self._attempts.send(attempt)
        except BaseException:
            self._withdraw(attempt.provider, taken_at)
            raise
        now = self._clock.monotonic_seconds()
        self._router.observe_resend(attempt.provider, outcome_of(answer), now, seconds=now - taken_at)
        step = await self._attempts.judge(attempt, answer, in_doubt=True)
        if not isinstance(step, Settle):
            return self._stays(doubt, longest=PROBE_RETRY_SECONDS_MAX if is_probe else RETRY_SECONDS_MAX)
        await self._attempts.record(attempt, step, doubt.event.request_sequence)
        self._attempts.note_doubt_ended(attempt)
        self._router.doubt_ended(attempt.provider)
        return Done()

    def _withdraw(self, provider: ProviderName, taken_at: float) -> None:
        now = self._clock.monotonic_seconds()
        self._router.withdraw_resend(provider, now, seconds=now - taken_at)

    async def _may_send_again(self, doubt: Doubt, attempt: Attempt) -> bool:
        """Whether, by the log at this moment, the attempt is still in doubt and no operator holds it."""
        asked_at, asked_at_us = self._clock.monotonic_seconds(), self._clock.now_us()
        await self._follower.caught_up(attempt.provider, timeout_seconds=RESEND_SECONDS_MAX)
        payment_state = await self._in_doubt(doubt)
        # Both clocks, as for the stamp of an intent.
        age_seconds = max(
            self._clock.monotonic_seconds() - asked_at, (self._clock.now_us() - asked_at_us) / MICROSECONDS
        )
        if age_seconds > RESEND_SECONDS_MAX:
            return False
        return payment_state is not None and payment_state.attempt == attempt and not payment_state.is_held

    def _stays(self, doubt: Doubt, *, longest: float = RETRY_SECONDS_MAX) -> Retry:
        self._router.doubt_stays(doubt.event.provider, self._clock.monotonic_seconds())
        return self._retry(doubt, longest=longest)

    @staticmethod
    def _retry(doubt: Doubt, *, longest: float = RETRY_SECONDS_MAX) -> Retry:
        return Retry(retry_delay_seconds(doubt.deliveries, random.random(), longest=longest))  # noqa: S311
