"""The states of the payments that are, or may again be, worked on. Pure: events in, payment states out.

The cache is fed the log from `start_sequence` on. It keeps ended payments and doubts up to a bound each. Beyond the
bound it keeps their ids, in a set that may have false positives. What it does not know is looked up elsewhere: a
payment whose request is older than `complete_from`, and one that may be among those ids. After `adopt` such a payment
is followed like any other, so it is looked up once, however often it is asked for.

While a payment is looked up, its events are kept (`asking`). So the history may be of any position from the question
on, and the adopted state has no gap.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from tollgate.contract.events import Event, LedgerPurged, PaymentRejected, PaymentRequested
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted, evolve
from tollgate.processor.charging.history import History

ENDED_MAX = 50_000
"""Ended payments kept: about 6 MB, a minute and a half of full load; a redelivery comes after seconds."""
DOUBTS_MAX = 10_000
"""Doubts kept: about 7 MB. The state of an older one is looked up each time."""
ADOPTED_MAX = 20_000
"""Payments kept that were looked up and have no event yet: about 5 MB. Beyond it an older one is looked up again."""
FORGOTTEN_MAX = 2_000_000
"""Ids kept of payments beyond those bounds, in 5 MB. Beyond this the ids are dropped, too, and each request that is not
newer than they were is looked up, once."""


class Forgotten(Protocol):
    """A set of correlationIds. False positives are allowed; each costs a question."""

    def add(self, correlation_id: str, /) -> None: ...

    def clear(self) -> None: ...

    def __contains__(self, correlation_id: object, /) -> bool: ...


@dataclass(slots=True)
class _Known:
    """A payment that has not ended. Its state is valid only for a request at or after `complete_from`.

    The payment of an older request may have ended and been dropped before the first event applied here. `complete_from`
    is 0 once the request is known to lie at or after it. `sequence` is that of the payment's last event.
    """

    payment_state: PaymentState
    complete_from: int
    sequence: int


@dataclass(slots=True)
class Asked:
    """A payment that is being looked up: its events after the position `since`, and those of them that are late."""

    since: int
    events: dict[int, Event] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    askers: int = 0


class StateCache:
    """The states of the payments whose requests lie at or after `start_sequence`, and of those that were looked up.

    `purged_before` is the sequence of the last purge before `start_sequence`, 0 if there was none.
    """

    def __init__(
        self,
        start_sequence: int,
        forgotten: Forgotten,
        *,
        ended_max: int = ENDED_MAX,
        doubts_max: int = DOUBTS_MAX,
        adopted_max: int = ADOPTED_MAX,
        forgotten_max: int = FORGOTTEN_MAX,
        purged_before: int = 0,
    ) -> None:
        self.start_sequence = start_sequence
        self.position = start_sequence - 1
        """The sequence of the last event applied."""
        self.complete_from = start_sequence
        """From this sequence on the cache has no gap."""
        self._ended_max = ended_max
        self._doubts_max = doubts_max
        self._adopted_max = adopted_max
        self._purged_before = purged_before
        self._unended: dict[str, _Known] = {}
        self._doubts: OrderedDict[str, int] = OrderedDict()
        """Those of the unended that are in doubt, and the sequence at which they were put in doubt."""
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._adopted: OrderedDict[str, None] = OrderedDict()
        """Those of the unended that were looked up and have no event. Without them the cache is right, too."""
        self._asked: dict[str, Asked] = {}
        self._forgotten_max = forgotten_max
        self._forgotten_count = 0
        self._forgotten_to = 0
        self._forgotten = forgotten

    def apply(self, sequence: int, event: Event, *, is_late: bool = False) -> None:
        """Applies the next event of the log. `is_late` concerns intents only (`contract/payment_state.py`)."""
        self.position = sequence
        if isinstance(event, PaymentRequested):
            return
        if isinstance(event, LedgerPurged):
            self._purge(sequence)
            return
        correlation_id = event.correlation_id
        if (asked := self._asked.get(correlation_id)) is not None:
            asked.events[sequence] = event
            if is_late:
                asked.late.add(sequence)
        self._adopted.pop(correlation_id, None)
        known = self._unended.get(correlation_id)
        if known is None:
            if correlation_id in self._ended or correlation_id in self._forgotten:
                return
            if isinstance(event, PaymentRejected) and event.attempt is None:
                # Only a routed payment is rejected. Its earlier events, which may make this one void, are unknown here.
                self._forget(correlation_id, sequence)
                return
            known = self._unended[correlation_id] = _Known(Unrouted(), self.complete_from, sequence)
        payment_state = evolve(known.payment_state, sequence, event)
        if is_late and isinstance(payment_state, Open) and payment_state.sequence == sequence:
            payment_state = replace(payment_state, is_late=True)
        known.sequence = sequence
        self._set(correlation_id, known, payment_state)

    @contextmanager
    def asking(self, correlation_id: str) -> Iterator[Asked]:
        """Keeps the payment's events while it is looked up. What is found has to be complete up to `since` at least."""
        asked = self._asked.setdefault(correlation_id, Asked(self.position))
        asked.askers += 1
        try:
            yield asked
        finally:
            asked.askers -= 1
            if not asked.askers and self._asked.get(correlation_id) is asked:
                del self._asked[correlation_id]

    def adopt(self, correlation_id: str, asked: Asked, found: History | Ended) -> PaymentState | None:
        """Follows the payment from now on. Returns its state at `position`; None if there was a purge meanwhile.

        `found` is complete up to `asked.since` at least.
        """
        if self._asked.get(correlation_id) is not asked:
            return None
        if isinstance(found, Ended) or correlation_id in self._ended:
            payment_state: PaymentState = Ended()
        else:
            events = {**dict(found.events), **asked.events}
            payment_state = History(sorted(events.items()), found.late | asked.late).state_at(self.position)
        known = self._unended[correlation_id] = _Known(payment_state, 0, self.position)
        self._set(correlation_id, known, payment_state)
        if payment_state == Unrouted():
            self._remember_adopted(correlation_id)
        return payment_state

    def payment_state(self, correlation_id: str, sequence: int, *, is_request: bool = True) -> PaymentState | None:
        """The payment's state; None when it has to be looked up (`asking`, `adopt`).

        `sequence` is that of its request, or else of another event of it. In the second case the state is known only if
        this was called with its request before, or the payment was adopted.
        """
        # A request before a purge is void, even if its delivery is still on the way.
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

    def _remember_adopted(self, correlation_id: str) -> None:
        self._adopted[correlation_id] = None
        if len(self._adopted) > self._adopted_max:
            dropped, _ = self._adopted.popitem(last=False)
            del self._unended[dropped]

    def _remember_ended(self, correlation_id: str, sequence: int) -> None:
        self._ended[correlation_id] = sequence
        if len(self._ended) > self._ended_max:
            self._forget(*self._ended.popitem(last=False))

    def _forget(self, correlation_id: str, sequence: int) -> None:
        """From now on the payment's state is looked up. Its request lies before `sequence`."""
        self._forgotten.add(correlation_id)
        self._forgotten_count += 1
        self._forgotten_to = max(self._forgotten_to, sequence)
        if self._forgotten_count > self._forgotten_max:
            self._forget_all()
            # A request after the last of the forgotten cannot be one of them.
            self.complete_from = max(self.complete_from, self._forgotten_to + 1)

    def _purge(self, sequence: int) -> None:
        self._unended.clear()
        self._adopted.clear()
        self._asked.clear()
        self._doubts.clear()
        self._ended.clear()
        self._forget_all()
        self._purged_before = sequence

    def _forget_all(self) -> None:
        self._forgotten.clear()
        self._forgotten_count = 0
