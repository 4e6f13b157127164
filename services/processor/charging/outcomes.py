"""What each answer of a provider proves, and which step follows. Pure: answers in, the next step out.

The rule: a payment may go to another provider only when it is proven that the attempt so far did not charge it and will
not. The provider's contract (provider_contract.py) maps the answers over HTTP to the answers here.

`in_doubt` means that an earlier sending of this same attempt has an unknown outcome and may still charge. From then on
only a found charge ends the attempt: no answer to a later sending proves that the earlier one did not charge.
"""

from dataclasses import dataclass, field

from tollgate.contract.events import PaymentRouted

Attempt = PaymentRouted
"""An attempt is the recorded intent itself: sent again, the same bytes go to the same provider."""


# Answers to `POST /payments`.


@dataclass(frozen=True, slots=True)
class Charged:
    """The provider charged it."""

    arrived_us_ago: int = field(default=0, compare=False)
    """How long the answer had been at this machine when it was read."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The provider has a charge for the correlationId already."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal that the contract names as final: the provider will never charge this payment."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotReached:
    """The provider's handler never received the request (429, connection refused, name not resolved)."""

    why: str
    is_busy: bool = False
    """The provider takes no more at present (429)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider's own error: its handler has ended, and a lookup shows whether it charged."""

    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Timeout, reset, cut off, or an unreadable answer: the charge may have happened, or may yet happen."""

    why: str


@dataclass(frozen=True, slots=True)
class OutsideContract:
    """A complete answer that the contract does not name, perhaps not the provider's own: it proves nothing."""

    why: str


Answer = Charged | Duplicate | Refused | NotReached | Failed | Unknown | OutsideContract


# Answers to `GET /payments/{id}`.


@dataclass(frozen=True, slots=True)
class Found:
    """The provider's own record of the charge."""

    amount_cents: int
    requested_at_us: int


@dataclass(frozen=True, slots=True)
class Missing:
    """No record at this moment."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The lookup itself failed; it proves nothing."""

    why: str


LookupAnswer = Found | Missing | NoAnswer | OutsideContract


# Next steps.


@dataclass(frozen=True, slots=True)
class Settle:
    """Record the charge, under the stamp of the provider's record."""

    requested_at_us: int
    arrived_us_ago: int = field(default=0, compare=False)
    """How long the answer that proves it had been at this machine when it was read."""


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
    """Look the payment up at the provider before concluding anything."""


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the same attempt again, to the same provider."""


@dataclass(frozen=True, slots=True)
class StayInDoubt:
    """Only the same attempt may be sent again, after a pause."""

    why: str


Next = Settle | Reject | Release | LookUp | SendAgain | StayInDoubt


def after_sending(attempt: Attempt, answer: Answer, *, in_doubt: bool) -> Next:
    """The next step after a sending of `attempt` was answered."""
    match answer:
        case Charged(arrived_us_ago):
            return Settle(attempt.requested_at_us, arrived_us_ago)
        case Duplicate() | Failed():
            return LookUp()
        case Refused():
            # Nothing undoes a rejection, so the provider has to confirm that it holds no record.
            return LookUp()
        case Unknown(why):
            return StayInDoubt(why)
        case OutsideContract(why):
            return StayInDoubt(why)
        case NotReached(why=why):
            return StayInDoubt(why) if in_doubt else Release(why)


def after_lookup(attempt: Attempt, cause: Answer | None, found: LookupAnswer, *, in_doubt: bool) -> Next:
    """The next step after the lookup that `cause` (Duplicate, Failed or Refused) made necessary.

    `cause` is None for the lookup before an attempt in doubt is sent again. A provider slower than our timeout answers
    422 too late to be received, but its lookup shows the charge.
    """
    match found:
        case Found(amount_cents, requested_at_us):
            if amount_cents != attempt.amount_cents:
                # The provider will never charge this id again, and no other may: this payment cannot be made.
                why = f"{attempt.provider} has charged this correlationId with another amount before"
                return StayInDoubt(why) if in_doubt else Reject(why)
            # The record's own stamp: after a purge it can be older than this attempt.
            return Settle(requested_at_us)
        case Missing():
            return _without_record(cause, in_doubt=in_doubt)
        case NoAnswer(why) | OutsideContract(why):
            return StayInDoubt(why)


def _without_record(cause: Answer | None, *, in_doubt: bool) -> Next:
    match cause:
        case None:
            return SendAgain()
        case Failed(why) if not in_doubt:
            return Release(f"{why}, no record")
        case Refused(reason) if not in_doubt:
            return Reject(reason)
        case _:
            return StayInDoubt("no record, but an earlier sending may still be running")
