"""What each answer of a payment processor proves, and what may be done next. Pure: answers in, the next step out.

The table of the design ("Charging: what each answer means") in two functions. The rule behind it: a payment may go to
another processor only when it is proven that it was not, and will not be, charged by the attempt so far.

`in_doubt` says that an earlier sending of this same attempt has an unknown outcome and may still charge. From then on
only a found charge ends the attempt: nothing that a later sending answers proves that the earlier one did not charge.
"""

from dataclasses import dataclass

from contract.events import PaymentRouted

Attempt = PaymentRouted
"""An attempt is the recorded intent itself: sent again, the same bytes go to the same processor."""


# What came back from `POST /payments`.


@dataclass(frozen=True, slots=True)
class Charged:
    """200, received in full."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """422: this processor has a charge for the correlationId already."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A 4xx that will not change: the processor will never charge this payment."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotReached:
    """The processor's handler never saw the request (429, connection refused, name not resolved)."""

    why: str
    is_busy: bool = False
    """It takes no more at present (429)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A 5xx, received in full: the handler has ended, and whether it charged is unproven."""

    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Timeout, reset, cut off, or no answer that can be read: the charge may have happened, or may yet happen."""

    why: str


Answer = Charged | Duplicate | Refused | NotReached | Failed | Unknown


# What came back from `GET /payments/{id}`.


@dataclass(frozen=True, slots=True)
class Found:
    """The processor's own record of the charge."""

    amount_cents: int
    requested_at_us: int


@dataclass(frozen=True, slots=True)
class Missing:
    """404: no record at this moment."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The lookup itself failed; nothing is learned."""

    why: str


LookupAnswer = Found | Missing | NoAnswer


# What to do next.


@dataclass(frozen=True, slots=True)
class Settle:
    """Record the charge, under the stamp that the processor's record carries."""

    requested_at_us: int


@dataclass(frozen=True, slots=True)
class Reject:
    """Record that the payment is refused for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Proven not charged: free to be routed anew."""

    why: str


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the processor for its record before concluding anything."""


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the same attempt again, to the same processor."""


@dataclass(frozen=True, slots=True)
class StayInDoubt:
    """Only the same attempt may be sent again, after a pause."""

    why: str


Next = Settle | Reject | Release | LookUp | SendAgain | StayInDoubt


def after_sending(attempt: Attempt, answer: Answer, *, in_doubt: bool) -> Next:
    """The next step after a sending of `attempt` was answered."""
    match answer:
        case Charged():
            return Settle(attempt.requested_at_us)
        case Duplicate() | Failed():
            return LookUp()
        case Unknown(why):
            return StayInDoubt(why)
        case Refused(reason):
            return StayInDoubt(reason) if in_doubt else Reject(reason)
        case NotReached(why=why):
            return StayInDoubt(why) if in_doubt else Release(why)


def after_lookup(attempt: Attempt, cause: Answer | None, found: LookupAnswer, *, in_doubt: bool) -> Next:
    """The next step after the lookup that `cause` (Duplicate or Failed) made necessary.

    None stands for the lookup before an attempt in doubt is sent again: a processor that is slower than we wait would
    never be heard to answer 422, but it can be asked.
    """
    match found:
        case Found(amount_cents, requested_at_us):
            if amount_cents != attempt.amount_cents:
                # The processor will never charge this id again, and nobody else may: this payment cannot be made.
                why = f"{attempt.processor} has charged this correlationId with another amount before"
                return StayInDoubt(why) if in_doubt else Reject(why)
            # The record's own stamp: after a purge it can be older than this attempt.
            return Settle(requested_at_us)
        case Missing():
            match cause:
                case None:
                    return SendAgain()
                case Failed(why) if not in_doubt:
                    return Release(f"{why}, no record")
                case _:
                    return StayInDoubt("no record, but an earlier sending may still be running")
        case NoAnswer(why):
            return StayInDoubt(why)
