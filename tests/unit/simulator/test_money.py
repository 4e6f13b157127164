from decimal import Decimal

import pytest

from tollgate.simulator.money import MAX_AMOUNT, cents_from, decimal_text, fee_of


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        (19.90, 1990),
        (0.01, 1),
        (1, 100),
        (0.29, 29),
        (1.13, 113),
        (999_999_999.99, 99_999_999_999),
        (MAX_AMOUNT, 10**11),
    ],
)
def test_amounts_with_two_decimals_are_exact(amount: float, cents: int) -> None:
    assert cents_from(amount) == cents


@pytest.mark.parametrize(
    ("amount", "cents"), [(0.125, 12), (0.135, 14), (1.005, 100), (1.015, 102), (2.675, 268), (0.0151, 2), (0.006, 1)]
)
def test_finer_amounts_are_rounded_half_to_even_as_they_are_written(amount: float, cents: int) -> None:
    assert cents_from(amount) == cents


@pytest.mark.parametrize(
    "amount", [0, -1, -0.01, 0.004, 0.005, MAX_AMOUNT + 1, 1e300, float("inf"), float("nan"), True, "19.90", None, [1]]
)
def test_what_is_no_amount_is_refused(amount: object) -> None:
    with pytest.raises(ValueError, match="amount must be"):
        cents_from(amount)


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "0.00"), (5, "0.05"), (1990, "19.90"), (10**17, "1000000000000000.00")]
)
def test_cents_are_written_with_two_places(cents: int, text: str) -> None:
    assert decimal_text(cents) == text


@pytest.mark.parametrize(
    ("cents", "fee", "expected"),
    [(1990, "0.05", 100), (50, "0.05", 2), (70, "0.05", 4), (10**17 + 10, "0.05", 5 * 10**15), (1990, "0", 0)],
)
def test_the_fee_is_exact_and_rounded_half_to_even(cents: int, fee: str, expected: int) -> None:
    assert fee_of(cents, Decimal(fee)) == expected
