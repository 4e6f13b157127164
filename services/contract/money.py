"""Money: integer cents inside, exact decimals outside."""

from decimal import Decimal

from tollgate.contract.errors import TollgateError

AMOUNT_CENTS_MAX = 100_000_000_000
"""The largest amount of one payment, in cents (1,000,000,000.00)."""
_SHIFTED = (1, 10, 100)


class InvalidAmountError(TollgateError, ValueError):
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
    # Integers from here on: a decimal context would round digits beyond its precision.
    _, digits, exponent = amount.as_tuple()
    shift = int(exponent) + 2
    if shift in (0, 1, 2):
        # The usual form, 19.90: its text holds all digits, and no exponent.
        return int(str(amount).replace(".", "")) * _SHIFTED[shift]
    coefficient = int("".join(map(str, digits)))
    if shift >= 0:
        return coefficient * int(10**shift)
    cents, rest = divmod(coefficient, 10**-shift) if -shift <= len(digits) else (0, coefficient)
    if rest:
        raise InvalidAmountError("amount must have at most two decimal places")
    return cents


def format_cents(amount_cents: int) -> str:
    """The amount as a decimal with two places: 1990 -> "19.90". Valid as a JSON number."""
    sign = "-" if amount_cents < 0 else ""
    return f"{sign}{abs(amount_cents) // 100}.{abs(amount_cents) % 100:02d}"
