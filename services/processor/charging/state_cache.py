"""What the log says of payments that are, or may again be, worked on. Pure: events in, a payment's standing out.

It is fed the whole log from the oldest request that is not done with. Ended payments and doubts are remembered up to
bounds, and behind those as ones that may be in the log: their events are looked up for each question. That would cost
too much for every request of a backlog. `complete_from` tells from which request on the memory has no hole at all.

A doubt is older than that when its request was done with long ago: it is known once `adopt` was given its history.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Protocol

from tollgate.contract.events import Event, LedgerPurged, PaymentRejected, PaymentRequested
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted, evolve
from tollgate.processor.charging.history import History

ENDED_MAX = 50_000
"""Ended payments remembered: about 6 MB, and a minute and a half of full load, against a redelivery after seconds."""
DOUBTS_MAX = 10_000
"""Doubts remembered: about 7 MB. What has become of an older one is looked up in the log each time."""
FORGOTTEN_MAX = 2_000_000
"""Payments behind those, in 5 MB. Beyond, they are dropped, and an older request is looked up in the log."""


class Forgotten(Protocol):
    """A set of correlationIds. It may say yes to one it does not hold, which costs a reading of the log."""

    def add(self, correlation_id: str, /) -> None: ...

    def clear(self) -> None: ...

    def __contains__(self, correlation_id: object, /) -> bool: ...


@dataclass(slots=True)
class _Known:
    """A payment that has not ended. What is known of it holds for a request at or behind `complete_from` alone.

    An older request may have ended already, and been forgotten, when the first event told here came. `complete_from`
    is 0 once the request is known to lie behind it. `sequence` is that of its last event.
    """

    payment_state: PaymentState
    complete_from: int
    sequence: int


class StateCache:
    """The standings of the payments whose requests lie at or behind `start_sequence`."""

    def __init__(
        self,
        start_sequence: int,
        forgotten: Forgotten,
        *,
        ended_max: int = ENDED_MAX,
        doubts_max: int = DOUBTS_MAX,
        forgotten_max: int = FORGOTTEN_MAX,
    ) -> None:
        self.start_sequence = start_sequence
        self.position = start_sequence - 1
        """The sequence of the last event applied."""
        self.complete_from = start_sequence
        """Requests from this sequence on are known without a hole."""
        self._ended_max = ended_max
        self._doubts_max = doubts_max
        self._purged_before = 0
        self._unended: dict[str, _Known] = {}
        self._doubts: OrderedDict[str, int] = OrderedDict()
        """Those of the unended that are in doubt, and where they were put in doubt."""
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._forgotten_max = forgotten_max
        self._forgotten_count = 0
        self._forgotten_to = 0
        self._forgotten = forgotten

    def apply(self, sequence: int, event: Event, *, is_late: bool = False) -> None:
        """Takes the next event of the log. `is_late` is of an intent (`contract/payment_state.py`)."""
        self.position = sequence
        if isinstance(event, PaymentRequested):
            return
        if isinstance(event, LedgerPurged):
            self._purge(sequence)
            return
        correlation_id = event.correlation_id
        known = self._unended.get(correlation_id)
        if known is None:
            if correlation_id in self._ended or correlation_id in self._forgotten:
                return
            if isinstance(event, PaymentRejected) and event.attempt is None:
                # Nobody rejects what was never routed. What was before it, and may make it void, is not known here.
                self._forget(correlation_id, sequence)
                return
            known = self._unended[correlation_id] = _Known(Unrouted(), self.complete_from, sequence)
        payment_state = evolve(known.payment_state, sequence, event)
        if is_late and isinstance(payment_state, Open) and payment_state.sequence == sequence:
            payment_state = replace(payment_state, is_late=True)
        known.sequence = sequence
        self._set(correlation_id, known, payment_state)

    def adopt(self, correlation_id: str, history: History, *, as_of: int) -> None:
        """Takes over what the log says of a payment, all of it up to `as_of` at least, a position of this journal."""
        known = self._unended.get(correlation_id)
        last = self._purged_before if known is None else known.sequence
        if last > as_of or correlation_id in self._ended or correlation_id in self._forgotten:
            return
        known = self._unended[correlation_id] = _Known(Unrouted(), 0, self.position)
        self._set(correlation_id, known, history.standing_at(self.position))

    def payment_state(self, correlation_id: str, sequence: int, *, is_request: bool = True) -> PaymentState | None:
        """What is known of the payment; None when only the log itself can tell.

        `sequence` is that of its request, or else of another event of it. Then it is known only if it was asked for by
        its request before, or adopted.
        """
        # What lies before a purge is void, even if its delivery is still on the way.
        if correlation_id in self._ended or sequence < self._purged_before:
            return Ended()
        known = self._unended.get(correlation_id)
        if known is None:
            is_new = is_request and sequence >= self.complete_from and correlation_id not in self._forgotten
            return Unrouted() if is_new else None
        if is_request and sequence >= known.complete_from:
            known.complete_from = 0
        return known.payment_state if known.complete_from == 0 else None

    def _set(self, correlation_id: str, known: _Known, payment_state: PaymentState) -> None:
        known.payment_state = payment_state
        if isinstance(payment_state, Open) and payment_state.in_doubt:
            self._remember_doubt(correlation_id, known.sequence)
            return
        self._doubts.pop(correlation_id, None)
        if isinstance(payment_state, Ended):
            del self._unended[correlation_id]
            self._remember_ended(correlation_id, known.sequence)

    def _remember_doubt(self, correlation_id: str, sequence: int) -> None:
        self._doubts.setdefault(correlation_id, sequence)
        if len(self._doubts) > self._doubts_max:
            forgotten, forgotten_at = self._doubts.popitem(last=False)
            del self._unended[forgotten]
            self._forget(forgotten, forgotten_at)

    def _remember_ended(self, correlation_id: str, sequence: int) -> None:
        self._ended[correlation_id] = sequence
        if len(self._ended) > self._ended_max:
            self._forget(*self._ended.popitem(last=False))

    def _forget(self, correlation_id: str, sequence: int) -> None:
        """From now on the log itself answers all questions of this payment, whose request lies before `sequence`."""
        self._forgotten.add(correlation_id)
        self._forgotten_count += 1
        self._forgotten_to = max(self._forgotten_to, sequence)
        if self._forgotten_count > self._forgotten_max:
            self._forget_all()
            # A request behind the last of the forgotten cannot be one of them.
            self.complete_from = max(self.complete_from, self._forgotten_to + 1)

    def _purge(self, sequence: int) -> None:
        self._unended.clear()
        self._doubts.clear()
        self._ended.clear()
        self._forget_all()
        self._purged_before = sequence

    def _forget_all(self) -> None:
        self._forgotten.clear()
        self._forgotten_count = 0
