"""One payment's events, and the payment states that follow from them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tollgate.contract.events import Event
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted, evolve


@dataclass(frozen=True, slots=True)
class History:
    """All events of a payment but its request, as (sequence, event), in the log's order."""

    events: Sequence[tuple[int, Event]]
    late: frozenset[int] = frozenset()
    """Sequences of the intents that were stored too late to be sent."""

    @property
    def payment_state(self) -> PaymentState:
        """The payment state after the last event."""
        return self.state_at(self.events[-1][0]) if self.events else Unrouted()

    def state_at(self, sequence: int) -> PaymentState:
        """The payment state when the log ended at `sequence`."""
        payment_state: PaymentState = Unrouted()
        for position, event in self.events:
            if position > sequence:
                break
            payment_state = evolve(payment_state, position, event)
        if isinstance(payment_state, Open) and payment_state.sequence in self.late:
            return replace(payment_state, is_late=True)
        return payment_state

    def had_effect(self, sequence: int) -> bool:
        """Whether the event at `sequence` changed the payment state; False if it was void."""
        payment_state: PaymentState = Unrouted()
        for position, event in self.events:
            before, payment_state = payment_state, evolve(payment_state, position, event)
            if position == sequence:
                return payment_state is not before
        return False

    def end(self) -> tuple[int, Event] | None:
        """The event that ended the payment, with its sequence; None if it has not ended."""
        payment_state: PaymentState = Unrouted()
        for sequence, event in self.events:
            payment_state = evolve(payment_state, sequence, event)
            if isinstance(payment_state, Ended):
                return sequence, event
        return None
