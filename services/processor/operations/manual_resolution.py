"""A manual resolution of an attempt in doubt: its check against the provider's record, and its events. Pure."""

from dataclasses import dataclass

from tollgate.contract.events import ManualResolution, PaymentInDoubt, PaymentProcessed, PaymentReleased
from tollgate.contract.money import format_cents
from tollgate.contract.timestamps import format_us
from tollgate.processor.charging.outcomes import Attempt, Found, LookupAnswer, Missing, NoAnswer, OutsideContract


@dataclass(frozen=True, slots=True)
class RequestedResolution:
    """Charged, with the stamp of the provider's record where the operator has it; or not charged."""

    is_charged: bool
    by: str
    note: str
    requested_at_us: int | None = None


def described(record: LookupAnswer) -> str:
    """The provider's answer to the lookup, as text."""
    match record:
        case Found(amount_cents, requested_at_us):
            return f"a record over {format_cents(amount_cents)}, requestedAt {format_us(requested_at_us)}"
        case Missing():
            return "no record"
        case NoAnswer(why) | OutsideContract(why):
            return f"no answer ({why})"


def objection(requested: RequestedResolution, attempt: Attempt, record: LookupAnswer) -> str | None:
    """How the provider's record contradicts the resolution; None if it does not, or if the lookup had no answer."""
    match record:
        case Found(amount_cents) if amount_cents != attempt.amount_cents:
            return (
                f"{attempt.provider} holds a record of it over {format_cents(amount_cents)}, "
                f"not over {format_cents(attempt.amount_cents)}"
            )
        case Found() if not requested.is_charged:
            return f"{attempt.provider} holds a record of it: it was charged, and the processor will settle it"
        case Found(_, stamp) if requested.requested_at_us not in {None, stamp}:
            return f"{attempt.provider} holds it under requestedAt {format_us(stamp)}"
        case Missing() if requested.is_charged:
            return f"{attempt.provider} has no record of it"
        case _:
            return None


def charged(
    requested: RequestedResolution, attempt: Attempt, record: LookupAnswer, resolved_at_us: int
) -> PaymentProcessed:
    """The charge, as resolved. Its stamp is the operator's, else that of the record, else the attempt's own."""
    stamp = record.requested_at_us if isinstance(record, Found) else attempt.requested_at_us
    return PaymentProcessed(
        attempt.correlation_id,
        attempt.amount_cents,
        attempt.attempt,
        attempt.provider,
        stamp if requested.requested_at_us is None else requested.requested_at_us,
        resolved_at_us,
        ManualResolution(requested.by, requested.note, resolved_at_us),
    )


def held(requested: RequestedResolution, attempt: Attempt, resolved_at_us: int) -> PaymentInDoubt:
    """The hold: from this event on no worker sends the attempt."""
    return PaymentInDoubt(
        attempt.correlation_id,
        attempt.attempt,
        attempt.provider,
        "held by an operator, who is about to release it",
        ManualResolution(requested.by, requested.note, resolved_at_us),
    )


def released(requested: RequestedResolution, attempt: Attempt, resolved_at_us: int) -> PaymentReleased:
    """The release, as resolved: the payment is routed anew."""
    return PaymentReleased(
        attempt.correlation_id,
        attempt.attempt,
        attempt.provider,
        "an operator resolved it as not charged",
        ManualResolution(requested.by, requested.note, resolved_at_us),
    )
