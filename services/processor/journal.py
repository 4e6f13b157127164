"""What the log says of payments that are, or may again be, worked on. Pure: events in, a payment's standing out.

It is fed the whole log from the oldest request that is not done with. Ended payments are remembered up to a bound, and
behind it as ones that may have ended: the log itself is read for those alone. Reading it for every request of a backlog
would take longer the longer the backlog is. `complete_from` tells from which request on the memory has no hole at all.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Protocol

from contract.events import Event, LedgerPurged, PaymentRequested
from contract.standing import Ended, Open, Standing, Unrouted, advance

ENDED_MAX = 50_000
"""Ended payments remembered: about 6 MB, and a minute and a half of full load, against a redelivery after seconds."""
FORGOTTEN_MAX = 2_000_000
"""Ended payments behind those, in 5 MB. Beyond, they are dropped, and an older request is read up in the log."""


class Forgotten(Protocol):
    """A set of correlationIds. It may say yes to one it does not hold, which costs a reading of the log."""

    def add(self, correlation_id: str, /) -> None: ...

    def clear(self) -> None: ...

    def __contains__(self, correlation_id: object, /) -> bool: ...


@dataclass(slots=True)
class _Known:
    """A payment that has not ended. What is known of it holds for a request at or behind `complete_from` alone.

    An older request may have ended already, and been forgotten, when the first event told here came.
    """

    standing: Standing
    complete_from: int


class Journal:
    """The standings of the payments whose requests lie at or behind `start_sequence`."""

    def __init__(
        self,
        start_sequence: int,
        forgotten: Forgotten,
        *,
        ended_max: int = ENDED_MAX,
        forgotten_max: int = FORGOTTEN_MAX,
    ) -> None:
        self.start_sequence = start_sequence
        self.complete_from = start_sequence
        """Requests from this sequence on are known without a hole."""
        self._ended_max = ended_max
        self._purged_before = 0
        self._unended: dict[str, _Known] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._forgotten_max = forgotten_max
        self._forgotten_count = 0
        self._forgotten = forgotten

    def apply(self, sequence: int, event: Event, *, is_late: bool = False) -> None:
        """Takes the next event of the log. `is_late` is of an intent (`contract/standing.py`)."""
        if isinstance(event, PaymentRequested):
            return
        if isinstance(event, LedgerPurged):
            self._unended.clear()
            self._ended.clear()
            self._forget_all()
            self._purged_before = sequence
            return
        correlation_id = event.correlation_id
        known = self._unended.get(correlation_id)
        if known is None:
            if correlation_id in self._ended or correlation_id in self._forgotten:
                return
            known = self._unended[correlation_id] = _Known(Unrouted(), self.complete_from)
        known.standing = advance(known.standing, sequence, event)
        if is_late and isinstance(known.standing, Open) and known.standing.sequence == sequence:
            known.standing = replace(known.standing, is_late=True)
        if isinstance(known.standing, Ended):
            del self._unended[correlation_id]
            self._remember_ended(correlation_id, sequence)

    def standing(self, correlation_id: str, request_sequence: int) -> Standing | None:
        """What is known of the payment requested at that sequence; None when only the log itself can tell."""
        # What was requested before a purge is void, even if its delivery is still on the way.
        if correlation_id in self._ended or request_sequence < self._purged_before:
            return Ended()
        known = self._unended.get(correlation_id)
        if known is None and correlation_id in self._forgotten:
            return None
        complete_from = self.complete_from if known is None else known.complete_from
        if request_sequence < complete_from:
            return None
        return Unrouted() if known is None else known.standing

    def _remember_ended(self, correlation_id: str, sequence: int) -> None:
        self._ended[correlation_id] = sequence
        if len(self._ended) <= self._ended_max:
            return
        forgotten, forgotten_at = self._ended.popitem(last=False)
        self._forgotten.add(forgotten)
        self._forgotten_count += 1
        if self._forgotten_count > self._forgotten_max:
            self._forget_all()
            # A request behind the last of the forgotten outcomes cannot be one that they ended.
            self.complete_from = forgotten_at + 1

    def _forget_all(self) -> None:
        self._forgotten.clear()
        self._forgotten_count = 0
