"""Settling a doubt by an operator's word: looked into, written to the log, and read back there.

What an operator takes upon himself with it is in docs/how-to/doubts.md, why it takes two words to say "not charged" in
docs/decisions/0014.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tollgate.contract.events import PaymentInDoubt, PaymentProcessed, PaymentReleased, ProviderName
from tollgate.contract.payment_state import Ended, Open
from tollgate.contract.timestamps import now_us
from tollgate.messaging.log import Log
from tollgate.processor.charging.doubt_handler import RESEND_SECONDS_MAX
from tollgate.processor.charging.histories import Histories, UnknownPaymentError
from tollgate.processor.charging.history import History
from tollgate.processor.charging.outcomes import Attempt, LookupAnswer
from tollgate.processor.operations.manual_resolution import (
    RequestedResolution,
    charged,
    described,
    held,
    objection,
    released,
)
from tollgate.runtime.errors import TollgateError

HOLD_SECONDS = 60.0
"""How long an attempt is held before its release counts, unless the operator wants otherwise."""
APPEND_TIMEOUT_SECONDS = 10.0
QUESTION_TIMEOUT_SECONDS = 10.0


class CannotResolveError(TollgateError):
    """Nothing was settled; the text says why."""


class Lookup(Protocol):
    """Whoever can ask a payment processor for its record."""

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer: ...


def hold_seconds_min(processor_timeout_seconds: float) -> float:
    """So long after the hold a worker that was about to send the attempt has had its answer, or given up on it."""
    return RESEND_SECONDS_MAX + processor_timeout_seconds


@dataclass(frozen=True, slots=True)
class Examined:
    """An attempt in doubt, and what its provider answered when it was asked for its record."""

    payment_state: Open
    record: LookupAnswer


class Resolver:
    """Records an operator's word on a payment in doubt. `say` tells what is being done, a line at a time."""

    def __init__(self, log: Log, histories: Histories, providers: Lookup, say: Callable[[str], None]) -> None:
        self._log = log
        self._histories = histories
        self._providers = providers
        self._say = say

    async def resolve(
        self, correlation_id: str, requested: RequestedResolution, *, hold_seconds: float, is_forced: bool
    ) -> None:
        """Returns when the word is in the log and counts there.

        Raises CannotResolveError, BrokerError and ReadModelUnavailableError.
        """
        doubt = await self.examine(correlation_id, requested, is_forced=is_forced)
        if requested.is_charged:
            await self.settle(requested, doubt)
            return
        await self.hold(requested, doubt)
        # Counted from here, by this clock, and not from the time of the hold in the log, which is another machine's.
        self._say(f"held: no worker sends it any more; waiting {hold_seconds:g} s for what may be under way")
        await asyncio.sleep(hold_seconds)
        await self.release(requested, doubt, is_forced=is_forced)

    async def examine(self, correlation_id: str, requested: RequestedResolution, *, is_forced: bool) -> Examined:
        """The doubt, with the provider's record of it. Writes nothing. Raises as `resolve` does."""
        doubt = _doubt_in(await self._history(correlation_id))
        return Examined(doubt, await self._look_up(requested, doubt.attempt, is_forced=is_forced))

    async def settle(self, requested: RequestedResolution, doubt: Examined) -> None:
        """It was charged, as claimed."""
        attempt = doubt.payment_state.attempt
        await self._record(charged(requested, attempt, doubt.record, now_us()))
        self._say(f"settled: attempt {attempt.attempt} was charged at {attempt.provider}")

    async def hold(self, requested: RequestedResolution, doubt: Examined) -> None:
        """Keeps the workers from sending the attempt: none begins to any more, and some may still be at it."""
        if not doubt.payment_state.is_held:
            await self._record(held(requested, doubt.payment_state.attempt, now_us()))

    async def release(self, requested: RequestedResolution, doubt: Examined, *, is_forced: bool) -> None:
        """It was not charged, as claimed. Only after it was held for `hold_seconds_min`."""
        attempt = doubt.payment_state.attempt
        # Again: what was under way when the attempt was held has arrived by now, if it ever does.
        await self._look_up(requested, attempt, is_forced=is_forced)
        await self._record(released(requested, attempt, now_us()))
        self._say(f"released: attempt {attempt.attempt} was not charged; the payment is routed anew")

    async def _look_up(self, requested: RequestedResolution, attempt: Attempt, *, is_forced: bool) -> LookupAnswer:
        record = await self._providers.look_up(attempt.provider, attempt.correlation_id)
        self._say(f"{attempt.provider} was asked for its record of it: {described(record)}")
        if (against := objection(requested, attempt, record)) is not None:
            if not is_forced:
                raise CannotResolveError(f"{against}; nothing was settled (--force, if you know better)")
            self._say(f"against it, and overruled: {against}")
        return record

    async def _record(self, event: PaymentProcessed | PaymentInDoubt | PaymentReleased) -> None:
        """Writes the word to the log, reads the log back, and makes sure that it counts there."""
        appended = await self._log.append(event, timeout_seconds=APPEND_TIMEOUT_SECONDS)
        history = await self._history(event.correlation_id)
        if history.had_effect(appended.sequence):
            by = event.resolution and event.resolution.by
            self._say(f"in the log at {appended.sequence}: {type(event).__name__}, by {by}")
            return
        if (end := history.end()) is not None:
            raise CannotResolveError(f"too late, and void: {type(end[1]).__name__} ended the payment at {end[0]}")
        raise CannotResolveError("void: meanwhile the doubt was settled, or held, by another word; look at it again")

    async def _history(self, correlation_id: str) -> History:
        try:
            return await self._histories.of(correlation_id)
        except UnknownPaymentError as error:
            raise CannotResolveError(str(error)) from None


def _doubt_in(history: History) -> Open:
    match history.payment_state:
        case Open(in_doubt=True) as doubt:
            return doubt
        case Open(attempt):
            raise CannotResolveError(f"attempt {attempt.attempt} is under way at {attempt.provider}, not in doubt")
        case Ended():
            sequence, event = history.end() or (0, None)
            raise CannotResolveError(f"it is not in doubt: {type(event).__name__} ended it, at {sequence} in the log")
        case _:
            raise CannotResolveError("it is not in doubt: it waits to be routed")
