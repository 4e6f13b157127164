"""Manual resolution of one attempt in doubt: looked up at the provider, written to the log, and read back from there.

docs/how-to/doubts.md states what the operator vouches for; docs/decisions/0014 why "not charged" takes two events.
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
"""The default time for which an attempt is held before it is released."""
APPEND_TIMEOUT_SECONDS = 10.0
QUESTION_TIMEOUT_SECONDS = 10.0


class CannotResolveError(TollgateError):
    """The payment was not resolved; the text gives the reason."""


class Lookup(Protocol):
    """Looks payments up at the providers."""

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer: ...


def hold_seconds_min(processor_timeout_seconds: float) -> float:
    """The shortest hold: a worker that was about to send the attempt has had its answer by then, or given up."""
    return RESEND_SECONDS_MAX + processor_timeout_seconds


@dataclass(frozen=True, slots=True)
class Examined:
    """An attempt in doubt, and the provider's answer to its lookup."""

    payment_state: Open
    record: LookupAnswer


class Resolver:
    """Records manual resolutions of attempts in doubt. `report` is called with a line of text for each step."""

    def __init__(self, log: Log, histories: Histories, providers: Lookup, report: Callable[[str], None]) -> None:
        self._log = log
        self._histories = histories
        self._providers = providers
        self._report = report

    async def resolve(
        self, correlation_id: str, requested: RequestedResolution, *, hold_seconds: float, is_forced: bool
    ) -> None:
        """Returns when the resolution is in the log and took effect there.

        Raises CannotResolveError, BrokerError and ReadModelUnavailableError.
        """
        doubt = await self.examine(correlation_id, requested, is_forced=is_forced)
        if requested.is_charged:
            await self.settle(requested, doubt)
            return
        await self.hold(requested, doubt)
        # Measured from here by this clock: the time of the hold in the log is another machine's.
        self._report(f"held: no worker sends it any more; waiting {hold_seconds:g} s for what may be under way")
        await asyncio.sleep(hold_seconds)
        await self.release(requested, doubt, is_forced=is_forced)

    async def examine(self, correlation_id: str, requested: RequestedResolution, *, is_forced: bool) -> Examined:
        """The attempt in doubt, and the provider's record of it. Writes nothing. Raises as `resolve` does."""
        doubt = _doubt_in(await self._history(correlation_id))
        return Examined(doubt, await self._look_up(requested, doubt.attempt, is_forced=is_forced))

    async def settle(self, requested: RequestedResolution, doubt: Examined) -> None:
        """Records that the attempt was charged."""
        attempt = doubt.payment_state.attempt
        await self._record(charged(requested, attempt, doubt.record, now_us()))
        self._report(f"settled: attempt {attempt.attempt} was charged at {attempt.provider}")

    async def hold(self, requested: RequestedResolution, doubt: Examined) -> None:
        """Keeps the workers from sending the attempt. A sending that is under way goes on."""
        if not doubt.payment_state.is_held:
            await self._record(held(requested, doubt.payment_state.attempt, now_us()))

    async def release(self, requested: RequestedResolution, doubt: Examined, *, is_forced: bool) -> None:
        """Records that the attempt was not charged. Only after it was held for `hold_seconds_min`."""
        attempt = doubt.payment_state.attempt
        # Again: a sending that was under way at the hold has reached the provider by now, if ever.
        await self._look_up(requested, attempt, is_forced=is_forced)
        await self._record(released(requested, attempt, now_us()))
        self._report(f"released: attempt {attempt.attempt} was not charged; the payment is routed anew")

    async def _look_up(self, requested: RequestedResolution, attempt: Attempt, *, is_forced: bool) -> LookupAnswer:
        record = await self._providers.look_up(attempt.provider, attempt.correlation_id)
        self._report(f"{attempt.provider} was asked for its record of it: {described(record)}")
        if (against := objection(requested, attempt, record)) is not None:
            if not is_forced:
                raise CannotResolveError(f"{against}; nothing was resolved (--force overrides the record)")
            self._report(f"overridden by --force: {against}")
        return record

    async def _record(self, event: PaymentProcessed | PaymentInDoubt | PaymentReleased) -> None:
        """Writes the event to the log, reads the log back, and makes sure that the event took effect there."""
        appended = await self._log.append(event, timeout_seconds=APPEND_TIMEOUT_SECONDS)
        history = await self._history(event.correlation_id)
        if history.had_effect(appended.sequence):
            by = event.resolution and event.resolution.by
            self._report(f"in the log at {appended.sequence}: {type(event).__name__}, by {by}")
            return
        if (end := history.end()) is not None:
            raise CannotResolveError(f"too late, and void: {type(end[1]).__name__} ended the payment at {end[0]}")
        raise CannotResolveError("void: another resolution came first; look at the payment again")

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
