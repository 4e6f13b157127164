"""Money: integer cents inside, exact decimals outside."""

from decimal import Decimal, localcontext

AMOUNT_CENTS_MAX = 100_000_000_000
"""The largest amount of one payment, in cents (1,000,000,000.00)."""


class InvalidAmountError(ValueError):
    """The amount is not a number of whole cents between 0.01 and the maximum."""


def cents_from_decimal(amount: Decimal) -> int:
    """The amount in cents, exactly.

    Raises InvalidAmountError unless it is finite, positive, at most AMOUNT_CENTS_MAX, and of whole cents.
    """
    if not amount.is_finite():
        raise InvalidAmountError("amount must be a finite number")
    if amount <= 0:
        raise InvalidAmountError("amount must be greater than zero")
    # Compared before it is scaled: scaling 1e999999 would build an integer of a million digits.
    if amount > AMOUNT_CENTS_MAX // 100:
        raise InvalidAmountError(f"amount must be at most {format_cents(AMOUNT_CENTS_MAX)}")
    with localcontext(prec=max(len(amount.as_tuple().digits), 1) + 3):
        cents = amount.scaleb(2)
    if cents != cents.to_integral_value():
        raise InvalidAmountError("amount must have at most two decimal places")
    return int(cents)


def format_cents(amount_cents: int) -> str:
    """The amount as a decimal with two places: 1990 -> "19.90". Valid as a JSON number."""
    sign = "-" if amount_cents < 0 else ""
    return f"{sign}{abs(amount_cents) // 100}.{abs(amount_cents) % 100:02d}"
