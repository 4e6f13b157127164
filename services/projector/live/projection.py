"""The read model as a function of the log. Pure: events in, rows out; payments that have not ended stay in memory.

Rows are a function of the log alone, so a rebuilt read model equals the live one row for row.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Literal

from tollgate.contract.events import (
    Event,
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentRequested,
    ProviderName,
)
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted, evolve, may_be_repeat
from tollgate.contract.read_model_api import DOUBTS_MAX, SEQUENCES_MAX, DoubtView
from tollgate.projector.live.charge_delays import ChargeDelays

RECENTLY_ENDED_MAX = 25_000
"""Ended payments kept in memory to recognise repeats without a scan: 20 s at 1,250/s; older ones `may_be_repeat`."""
WHY_CHARACTERS_MAX = 200
"""Length at which the reported reason of a doubt is cut; the log has the whole text."""


@dataclass(frozen=True, slots=True)
class SettledRow:
    """A charged payment."""

    correlation_id: str
    provider: ProviderName
    amount_cents: int
    requested_at_us: int
    processed_at_us: int
    attempt: int
    sequences: list[int]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected payment."""

    correlation_id: str
    amount_cents: int
    reason: str
    sequences: list[int]


@dataclass(frozen=True, slots=True)
class Cleared:
    """Every row so far is void because of the purge at this position."""

    position: int


@dataclass(frozen=True, slots=True)
class Unread:
    """A stretch of the log that could not be read, both ends included."""

    first_sequence: int
    last_sequence: int


EndedAs = Literal["settled", "rejected"]
Change = SettledRow | RejectedRow | Cleared | Unread


@dataclass(slots=True)
class OpenPayment:
    """A payment that has not ended; `sequences` are those of its events.

    `accepted_at_us` is by a gateway's clock, `stored_at_us` by the broker's.
    The fields on doubt hold since when and why the payment is in doubt.
    """

    amount_cents: int
    accepted_at_us: int
    stored_at_us: int
    sequences: list[int]
    payment_state: PaymentState = field(default_factory=Unrouted)
    doubted_at_us: int = 0
    why_in_doubt: str = ""

    def doubt(self) -> DoubtView | None:
        """The attempt in doubt; None if there is none."""
        match self.payment_state:
            case Open(attempt, in_doubt=True, is_held=is_held):
                return DoubtView(
                    attempt.correlation_id,
                    self.amount_cents,
                    attempt.provider,
                    attempt.attempt,
                    attempt.requested_at_us,
                    self.doubted_at_us,
                    self.why_in_doubt[:WHY_CHARACTERS_MAX],
                    is_held,
                )
            case _:
                return None


class Projection:
    """Folds the log's events.

    `ended_as` finds whether a payment has a row, and of which kind; it costs a scan, so it is called only where a
    repeat is likely. `before_change` is called with each open payment before it changes or ends.
    """

    def __init__(
        self,
        ended_as: Callable[[str], EndedAs | None],
        recently_ended: Iterable[tuple[str, EndedAs]] = (),
        *,
        before_change: Callable[[str, OpenPayment], None] | None = None,
    ) -> None:
        self._ended_as = ended_as
        self._before_change = before_change
        self.recently_ended = OrderedDict(recently_ended)
        """The payments that ended last, oldest first, and how: their repeats are recognised without a scan."""
        self.open: dict[str, OpenPayment] = {}
        """Payments that have not ended, oldest request first."""
        self.open_attempts: dict[str, Open] = {}
        """Those payments of `open` that have an open attempt."""
        self.delays = ChargeDelays()
        """The providers' delays, from the charges applied so far."""

    def apply(self, sequence: int, event: Event, stored_at_us: int, *, is_replay: bool = False) -> Change | None:
        """Applies the next event. Returns the change to the rows, if any.

        The rows of a replayed event are in the store already: it only changes what is held in memory.
        """
        match event:
            case PaymentRequested():
                self._request(sequence, event, stored_at_us)
                return None
            case PaymentProcessed() if event.resolution is not None and not self._does_end(sequence, event):
                self._evolve(event.correlation_id, sequence, event, stored_at_us)
                return None
            case PaymentProcessed():
                return self._settle(sequence, event, is_replay=is_replay)
            case PaymentRejected():
                return self._reject(sequence, event)
            case LedgerPurged():
                self.open.clear()
                self.open_attempts.clear()
                self.recently_ended.clear()
                return Cleared(sequence)
            case _:
                self._evolve(event.correlation_id, sequence, event, stored_at_us)
                return None

    def restore(self, open_payments: Mapping[str, OpenPayment]) -> None:
        """Continues with these open payments, oldest request first. Only before the first event is applied."""
        self.open.update(open_payments)
        for correlation_id, payment in open_payments.items():
            if isinstance(payment.payment_state, Open):
                self.open_attempts[correlation_id] = payment.payment_state

    def oldest_open_sequence(self) -> int | None:
        """The sequence of the request of the oldest payment that has not ended; None if all have ended."""
        return next((payment.sequences[0] for payment in self.open.values()), None)

    def oldest_chargeable(self) -> str | None:
        """The oldest payment that has not ended and is not in doubt."""
        for correlation_id, payment in self.open.items():
            if not (isinstance(payment.payment_state, Open) and payment.payment_state.in_doubt):
                return correlation_id
        return None

    def oldest_doubt_us(self) -> int | None:
        """Since when the oldest attempt in doubt is in doubt; None if there is none."""
        attempts = self.open_attempts.items()
        return min((self.open[one].doubted_at_us for one, attempt in attempts if attempt.in_doubt), default=None)

    def attempts_in(self, from_us: int | None, to_us: int | None) -> Iterator[tuple[str, int]]:
        """Open attempts stamped inside the window, both bounds inclusive, as (correlationId, attempt)."""
        for correlation_id, opened in self.open_attempts.items():
            stamp = opened.attempt.requested_at_us
            if (from_us is None or stamp >= from_us) and (to_us is None or stamp <= to_us):
                yield correlation_id, opened.attempt.attempt

    def is_answer_due(self, correlation_id: str, attempt: int, at_us: int) -> bool:
        """Whether the attempt has no outcome, but an answer by `at_us` if its provider is as fast as at its fastest.

        Not while it is in doubt: a doubt ends by a later lookup, not by an answer on its way.
        """
        opened = self.open_attempts.get(correlation_id)
        if opened is None or opened.in_doubt or opened.attempt.attempt != attempt:
            return False
        return self.delays.due_at_us(opened.attempt.provider, opened.attempt.requested_at_us) <= at_us

    def in_doubt(self) -> tuple[int, list[DoubtView]]:
        """How many attempts are in doubt, and the oldest of them, DOUBTS_MAX at most."""
        doubts = [self.open[one].doubt() for one, opened in self.open_attempts.items() if opened.in_doubt]
        known = [doubt for doubt in doubts if doubt is not None]
        return len(known), heapq.nsmallest(DOUBTS_MAX, known, key=lambda doubt: doubt.since_us)

    def _does_end(self, sequence: int, event: PaymentProcessed | PaymentRejected) -> bool:
        payment = self.open.get(event.correlation_id)
        return payment is not None and isinstance(evolve(payment.payment_state, sequence, event), Ended)

    def _request(self, sequence: int, event: PaymentRequested, stored_at_us: int) -> None:
        if event.correlation_id in self.open or event.correlation_id in self.recently_ended:
            return
        if may_be_repeat(event, stored_at_us) and self._ended_as(event.correlation_id) is not None:
            return
        self.open[event.correlation_id] = OpenPayment(
            event.amount_cents, event.accepted_at_us, stored_at_us, [sequence]
        )

    def _settle(self, sequence: int, event: PaymentProcessed, *, is_replay: bool) -> SettledRow | None:
        # First: a restored payment is open although it is among those that ended last, until its end is replayed.
        payment = self._end(event.correlation_id)
        if self.recently_ended.get(event.correlation_id) == "settled":
            return None
        if payment is None and not is_replay and self._ended_as(event.correlation_id) == "settled":
            return None
        self.remember_ended(event.correlation_id, "settled")
        self.delays.observe(event.provider, event.requested_at_us, event.processed_at_us)
        return SettledRow(
            event.correlation_id,
            event.provider,
            event.amount_cents,
            event.requested_at_us,
            event.processed_at_us,
            event.attempt,
            [*(payment.sequences if payment else ()), sequence],
        )

    def _reject(self, sequence: int, event: PaymentRejected) -> RejectedRow | None:
        payment = self.open.get(event.correlation_id)
        if payment is None or not self._does_end(sequence, event):
            return None
        self._end(event.correlation_id)
        self.remember_ended(event.correlation_id, "rejected")
        return RejectedRow(event.correlation_id, event.amount_cents, event.reason, [*payment.sequences, sequence])

    def remember_ended(self, correlation_id: str, how: EndedAs) -> None:
        """Keeps how a payment ended, and drops the one that ended longest ago."""
        self.remember_all_ended((correlation_id,), how)

    def remember_all_ended(self, correlation_ids: Iterable[str], how: EndedAs) -> None:
        """The same for several payments, in the order in which they ended."""
        self.recently_ended.update(zip(correlation_ids, repeat(how)))
        while len(self.recently_ended) > RECENTLY_ENDED_MAX:
            self.recently_ended.popitem(last=False)

    def _end(self, correlation_id: str) -> OpenPayment | None:
        self.open_attempts.pop(correlation_id, None)
        payment = self.open.pop(correlation_id, None)
        if payment is not None and self._before_change is not None:
            self._before_change(correlation_id, payment)
        return payment

    def _evolve(self, correlation_id: str, sequence: int, event: Event, stored_at_us: int) -> None:
        payment = self.open.get(correlation_id)
        if payment is None:
            return
        if self._before_change is not None:
            self._before_change(correlation_id, payment)
        payment.sequences.append(sequence)
        if len(payment.sequences) > SEQUENCES_MAX:
            del payment.sequences[1]
        before, payment.payment_state = payment.payment_state, evolve(payment.payment_state, sequence, event)
        if isinstance(event, PaymentInDoubt) and event.resolution is None and payment.payment_state is not before:
            payment.doubted_at_us, payment.why_in_doubt = stored_at_us, event.why
        if isinstance(payment.payment_state, Open):
            self.open_attempts[correlation_id] = payment.payment_state
        else:
            self.open_attempts.pop(correlation_id, None)
