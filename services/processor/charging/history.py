"""One payment's events, and what they say of how it stands. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tollgate.contract.events import Event
from tollgate.contract.payment_state import Ended, Open, Standing, Unrouted, advance


@dataclass(frozen=True, slots=True)
class History:
    """What became of a payment: (sequence, event) in the log's order, all of them, without its request."""

    events: Sequence[tuple[int, Event]]
    late: frozenset[int] = frozenset()
    """Sequences of the intents that were stored too late to be sent."""

    @property
    def standing(self) -> Standing:
        """How it stands after the last of them."""
        return self.standing_at(self.events[-1][0]) if self.events else Unrouted()

    def standing_at(self, sequence: int) -> Standing:
        """How it stood when the log ended at `sequence`."""
        standing: Standing = Unrouted()
        for position, event in self.events:
            if position > sequence:
                break
            standing = advance(standing, position, event)
        if isinstance(standing, Open) and standing.sequence in self.late:
            return replace(standing, is_late=True)
        return standing

    def did_count(self, sequence: int) -> bool:
        """Whether the event at `sequence` changed how the payment stands, or was void."""
        standing: Standing = Unrouted()
        for position, event in self.events:
            before, standing = standing, advance(standing, position, event)
            if position == sequence:
                return standing is not before
        return False

    def end(self) -> tuple[int, Event] | None:
        """The event that ended the payment; None while it goes on."""
        standing: Standing = Unrouted()
        for sequence, event in self.events:
            standing = advance(standing, sequence, event)
            if isinstance(standing, Ended):
                return sequence, event
        return None
