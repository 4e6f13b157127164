"""The state of a payment after a sequence of its events: the rule that keeps it from being charged twice.

Several processor replicas may work on the same payment at once: a replica that is paused or cut off cannot detect that
its delivery went to another. No replica decides by its own clock or memory. Each writes its intended action, reads the
log up to its own event, and acts only if the event is valid there. The log has one order, so all replicas and readers
compute the same state:

- the first intent for an attempt's number is valid, later ones are void;
- an attempt can be released, and so followed by another, only before it is put in doubt; a replica that sends an
  attempt whose intent it did not itself just store puts it in doubt first;
- an attempt in doubt cannot be rejected either: the sending that is in doubt may still charge;
- a rejection ends the payment only while the attempt that it names is open: one that comes late, after an operator has
  released that attempt, has no effect on the next attempt;
- a manual resolution is valid only for the attempt that is in doubt at its place in the log: "charged" at once, "not
  charged" after an earlier one holds the attempt, so that no replica sends it meanwhile (docs/decisions/0014);
- an end is final.
"""

from dataclasses import dataclass, replace

from tollgate.contract.events import (
    Event,
    ManualResolution,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.timestamps import MICROSECONDS

ACCEPTANCE_SECONDS_MAX = 20
"""A gateway checks that a payment is new and stores it in under 5 s. One that was paused in between takes longer, and
then neither its check nor the broker's duplicate window proves any more that the request is the first."""


STORING_SECONDS_MAX = 1
"""An intent that was stored longer after its stamp is never sent: its author may have timed out meanwhile, and a
summary may have reported the window of its stamp as settled since."""
CLOCK_OFFSET_SECONDS_MAX = STORING_SECONDS_MAX / 2
"""A processor whose clock differs from the broker's by more writes no intent: behind the broker's, its stamps would
leave no time for storing, and each intent would be late."""
CLOCK_OFFSET_SECONDS_WARNED = CLOCK_OFFSET_SECONDS_MAX / 2
"""A larger difference is logged as a warning, and times that only measure waiting are corrected by it."""


@dataclass(frozen=True, slots=True)
class Unrouted:
    """No attempt is open; the next one has this number."""

    next_attempt: int = 1


@dataclass(frozen=True, slots=True)
class Open:
    """The attempt recorded at `sequence` has no outcome yet."""

    attempt: PaymentRouted
    sequence: int
    in_doubt: bool = False
    is_held: bool = False
    """In doubt, and an operator is resolving it: no replica sends it again."""
    is_late: bool = False
    """Its intent was stored too late to be sent. The replica that finds it so releases it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Charged or rejected: nothing is left to do."""


PaymentState = Unrouted | Open | Ended


def evolve(payment_state: PaymentState, sequence: int, event: Event) -> PaymentState:  # noqa: PLR0911 - a rule each
    """The payment state after `event`, which is at `sequence`. Returns the same object when the event is void."""
    match payment_state, event:
        case Ended(), _:
            return payment_state
        case (
            _,
            PaymentInDoubt(resolution=ManualResolution())
            | PaymentReleased(resolution=ManualResolution())
            | PaymentProcessed(resolution=ManualResolution()),
        ):
            return _evolve_by_resolution(payment_state, event)
        case _, PaymentProcessed():
            return Ended()
        case Open(in_doubt=True), PaymentRejected():
            return payment_state
        case _, PaymentRejected(attempt=None):
            return Ended()
        case Open(current), PaymentRejected(attempt=attempt) if attempt == current.attempt:
            return Ended()
        case Unrouted(number), PaymentRouted(attempt=attempt) if attempt == number:
            return Open(event, sequence)
        case Open(current, in_doubt=False), PaymentReleased(attempt=attempt) if attempt == current.attempt:
            return Unrouted(attempt + 1)
        case Open(current, in_doubt=False), PaymentInDoubt(attempt=attempt) if attempt == current.attempt:
            return replace(payment_state, in_doubt=True)
        case _:
            return payment_state


def _evolve_by_resolution(
    payment_state: PaymentState, event: PaymentInDoubt | PaymentReleased | PaymentProcessed
) -> PaymentState:
    """A manual resolution is valid for an attempt in doubt only."""
    match payment_state, event:
        case Open(current, in_doubt=True), _ if (event.attempt, event.provider) != (
            current.attempt,
            current.provider,
        ):
            return payment_state
        case Open(in_doubt=True), PaymentProcessed():
            return Ended()
        case Open(current, in_doubt=True, is_held=True), PaymentReleased():
            return Unrouted(current.attempt + 1)
        case Open(in_doubt=True, is_held=False), PaymentInDoubt():
            return replace(payment_state, is_held=True)
        case _:
            return payment_state


def is_late(event: Event, stored_at_us: int) -> bool:
    """Whether the event is an intent that was stored too late to be sent.

    It depends on the time of storing, not on a reader's clock, so that all readers compute the same.
    """
    return (
        isinstance(event, PaymentRouted) and stored_at_us - event.requested_at_us > STORING_SECONDS_MAX * MICROSECONDS
    )


def may_be_repeat(request: PaymentRequested, stored_at_us: int) -> bool:
    """Whether the request was stored so long after its acceptance that it must be checked for being a repeat."""
    return abs(stored_at_us - request.accepted_at_us) > ACCEPTANCE_SECONDS_MAX * MICROSECONDS
