"""Money as whole cents. No float ever holds an amount, neither one that is sent nor one that is read."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal

RANDOM_CENTS_MIN = 1
RANDOM_CENTS_MAX = 99_999


class NotCentsError(ValueError):
    """The value is not an amount of whole cents."""


def read_json(text: str | bytes) -> object:
    """JSON with every fractional number kept as the exact decimal that was written."""
    value: object = json.loads(text, parse_float=Decimal)
    return value


def cents_of(amount: object) -> int:
    """The whole cents of an amount as read_json() gives it; anything else is refused, not rounded."""
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
        raise NotCentsError(f"{amount!r} is not a number")
    cents = Decimal(amount) * 100
    if not cents.is_finite() or cents != cents.to_integral_value():
        raise NotCentsError(f"{amount} is not a whole number of cents")
    return int(cents)


def decimal_text(cents: int) -> str:
    """The amount as JSON carries it: `1990` is `19.90`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def constant(cents: int) -> Callable[[], int]:
    """Yields the same amount for ever, like the benchmark's script."""
    return lambda: cents


def randomly(seed: int) -> Callable[[], int]:
    """Draws amounts that make two different sets of payments differ in their sums too; the same ones for each seed."""
    rng = random.Random(seed)  # noqa: S311 - wanted: the same amounts again for the same seed
    return lambda: rng.randint(RANDOM_CENTS_MIN, RANDOM_CENTS_MAX)
