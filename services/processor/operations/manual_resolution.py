"""What an operator claims of an attempt in doubt, and what the processor's own record says against it. Pure."""

from dataclasses import dataclass

from tollgate.contract.events import ManualResolution, PaymentInDoubt, PaymentProcessed, PaymentReleased
from tollgate.contract.money import format_cents
from tollgate.contract.timestamps import format_us
from tollgate.processor.charging.outcomes import Attempt, Found, LookupAnswer, Missing, NoAnswer, OutsideContract


@dataclass(frozen=True, slots=True)
class RequestedResolution:
    """`is_charged`, with the stamp of the processor's record where the operator knows it; or not charged."""

    is_charged: bool
    by: str
    note: str
    requested_at_us: int | None = None


def described(record: LookupAnswer) -> str:
    """What the processor answered, for a person."""
    match record:
        case Found(amount_cents, requested_at_us):
            return f"a record over {format_cents(amount_cents)}, requestedAt {format_us(requested_at_us)}"
        case Missing():
            return "no record"
        case NoAnswer(why) | OutsideContract(why):
            return f"no answer ({why})"


def objection(requested: RequestedResolution, attempt: Attempt, record: LookupAnswer) -> str | None:
    """Why the processor's record contradicts the claim; None when it does not, or when nothing could be learned."""
    match record:
        case Found(amount_cents) if amount_cents != attempt.amount_cents:
            return (
                f"{attempt.provider} holds a record of it over {format_cents(amount_cents)}, "
                f"not over {format_cents(attempt.amount_cents)}"
            )
        case Found() if not requested.is_charged:
            return f"{attempt.provider} holds a record of it: it was charged, and the processor service will find that"
        case Found(_, stamp) if requested.requested_at_us not in {None, stamp}:
            return f"{attempt.provider} holds it under requestedAt {format_us(stamp)}"
        case Missing() if requested.is_charged:
            return f"{attempt.provider} has no record of it"
        case _:
            return None


def charged(
    requested: RequestedResolution, attempt: Attempt, record: LookupAnswer, resolved_at_us: int
) -> PaymentProcessed:
    """The charge as the operator claims it; its stamp is the operator's, else the record's, else the attempt's own."""
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
    """From this on no worker sends the attempt."""
    return PaymentInDoubt(
        attempt.correlation_id,
        attempt.attempt,
        attempt.provider,
        "held by an operator, who is about to release it",
        ManualResolution(requested.by, requested.note, resolved_at_us),
    )


def released(requested: RequestedResolution, attempt: Attempt, resolved_at_us: int) -> PaymentReleased:
    """Not charged, as the operator claims: free to be routed anew."""
    return PaymentReleased(
        attempt.correlation_id,
        attempt.attempt,
        attempt.provider,
        "an operator says that it was not charged",
        ManualResolution(requested.by, requested.note, resolved_at_us),
    )
