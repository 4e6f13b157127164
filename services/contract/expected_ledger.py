"""The charges recorded in the log, as a simple fold over its events.

Verification compares the read model with it, so it shares only the events and `contract/payment_state.py` with the
projection. It keeps the id of every ended payment, about 100 bytes each.
"""

from dataclasses import dataclass, field
from uuid import UUID

from tollgate.contract.events import Event, LedgerPurged, PaymentProcessed, PaymentRequested
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted, evolve


@dataclass(slots=True)
class Unfinished:
    """A payment that has not ended."""

    request: PaymentRequested
    payment_state: PaymentState = field(default_factory=Unrouted)

    @property
    def attempt(self) -> Open | None:
        """The attempt whose outcome is not known, if there is one."""
        return self.payment_state if isinstance(self.payment_state, Open) else None


class Ledger:
    """Takes the log's events in order."""

    def __init__(self) -> None:
        self._settled: set[bytes] = set()
        self._rejected: set[bytes] = set()
        self.unfinished: dict[str, Unfinished] = {}
        """By correlationId, oldest request first."""

    def apply(self, sequence: int, event: Event) -> bool:
        """Applies the next event. Returns whether it ends a payment or voids all of them."""
        match event:
            case LedgerPurged():
                self._settled.clear()
                self._rejected.clear()
                self.unfinished.clear()
                return True
            case PaymentRequested():
                if not self._is_known(event.correlation_id):
                    self.unfinished[event.correlation_id] = Unfinished(event)
                return False
            case PaymentProcessed(resolution=None):
                return self._settle(event)
            case _:
                return self._evolve(sequence, event)

    def _settle(self, event: PaymentProcessed) -> bool:
        self.unfinished.pop(event.correlation_id, None)
        key = UUID(event.correlation_id).bytes
        is_new = key not in self._settled
        self._settled.add(key)
        return is_new

    def _evolve(self, sequence: int, event: Event) -> bool:
        if isinstance(event, LedgerPurged) or (payment := self.unfinished.get(event.correlation_id)) is None:
            return False
        payment.payment_state = evolve(payment.payment_state, sequence, event)
        if not isinstance(payment.payment_state, Ended):
            return False
        if isinstance(event, PaymentProcessed):
            return self._settle(event)
        del self.unfinished[event.correlation_id]
        self._rejected.add(UUID(event.correlation_id).bytes)
        return True

    def _is_known(self, correlation_id: str) -> bool:
        key = UUID(correlation_id).bytes
        return correlation_id in self.unfinished or key in self._settled or key in self._rejected
