"""What a charge costs at each provider, in whole cents. Pure."""

from collections.abc import Mapping

from tollgate.contract.events import ProviderName

FEE_BASIS_POINTS: dict[ProviderName, int] = {"default": 500, "fallback": 1500}
"""The share of the amount that each provider keeps, in hundredths of a per cent."""
BASIS_POINTS = 10_000

OTHER: dict[ProviderName, ProviderName] = {"default": "fallback", "fallback": "default"}


def fee_cents(provider: ProviderName, amount_cents: int) -> int:
    """The fee for charging `amount_cents` at `provider`; half a cent counts as one.

    The fee of a total may differ by rounding from the sum over its payments: take totals.
    """
    return (amount_cents * FEE_BASIS_POINTS[provider] + BASIS_POINTS // 2) // BASIS_POINTS


def saved_cents(provider: ProviderName, amount_cents: int) -> int:
    """What charging at `provider` saved against the other one; below zero when it cost more."""
    return fee_cents(OTHER[provider], amount_cents) - fee_cents(provider, amount_cents)


def paid_and_saved_cents(totals_cents: Mapping[ProviderName, int]) -> tuple[int, int]:
    """For the totals charged at each provider: the fees paid, and what they save against the most expensive one."""
    paid = sum(fee_cents(provider, amount) for provider, amount in totals_cents.items())
    most_expensive = max(FEE_BASIS_POINTS, key=lambda provider: FEE_BASIS_POINTS[provider])
    return paid, fee_cents(most_expensive, sum(totals_cents.values())) - paid
