"""What a charge costs at each payment processor, in whole cents. Pure."""

from collections.abc import Mapping

from tollgate.contract.events import ProcessorName

FEE_BASIS_POINTS: dict[ProcessorName, int] = {"default": 500, "fallback": 1500}
"""The share of the amount that each processor keeps, in hundredths of a per cent."""
BASIS_POINTS = 10_000

OTHER: dict[ProcessorName, ProcessorName] = {"default": "fallback", "fallback": "default"}


def fee_cents(processor: ProcessorName, amount_cents: int) -> int:
    """The fee for charging `amount_cents` at `processor`; half a cent counts as one.

    The fee is linear, so that of a total may differ by rounding from the sum over its payments: take totals.
    """
    return (amount_cents * FEE_BASIS_POINTS[processor] + BASIS_POINTS // 2) // BASIS_POINTS


def saved_cents(processor: ProcessorName, amount_cents: int) -> int:
    """What charging at `processor` saved against the other one; below zero when it cost more."""
    return fee_cents(OTHER[processor], amount_cents) - fee_cents(processor, amount_cents)


def paid_and_saved_cents(totals_cents: Mapping[ProcessorName, int]) -> tuple[int, int]:
    """Of what was charged at each processor: the fees paid, and what they save against charging all at the dearest."""
    paid = sum(fee_cents(processor, amount) for processor, amount in totals_cents.items())
    dearest = max(FEE_BASIS_POINTS, key=lambda processor: FEE_BASIS_POINTS[processor])
    return paid, fee_cents(dearest, sum(totals_cents.values())) - paid
