"""Cents and decimals convert exactly, without rounding."""

import time
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.money import AMOUNT_CENTS_MAX, InvalidAmountError, cents_from_decimal, format_cents

cents = st.integers(1, AMOUNT_CENTS_MAX)


@given(cents)
def test_cents_survive_formatting_and_parsing(amount_cents: int) -> None:
    assert cents_from_decimal(Decimal(format_cents(amount_cents))) == amount_cents


@given(st.integers(-(10**30), 10**30))
def test_the_text_is_the_exact_amount_with_two_places(amount_cents: int) -> None:
    text = format_cents(amount_cents)
    assert Fraction(text) * 100 == amount_cents
    assert text.partition(".")[2].isdecimal()
    assert len(text.partition(".")[2]) == 2


@pytest.mark.parametrize(
    ("amount_cents", "text"),
    [
        (0, "0.00"),
        (1, "0.01"),
        (10, "0.10"),
        (99, "0.99"),
        (100, "1.00"),
        (1990, "19.90"),
        (-5, "-0.05"),
        (-150, "-1.50"),
    ],
)
def test_an_amount_is_formatted_as_expected(amount_cents: int, text: str) -> None:
    assert format_cents(amount_cents) == text


@pytest.mark.parametrize(
    ("text", "amount_cents"),
    [
        ("0.01", 1),
        ("1", 100),
        ("19.9", 1990),
        ("19.90", 1990),
        ("19.900000000000000000000000000000000000", 1990),
        ("1990e-2", 1990),
        ("1.99E+1", 1990),
        ("1e9", 100_000_000_000),
        ("1000000000.00", 100_000_000_000),
        ("999999999.99", 99_999_999_999),
        ("0.010000000000000000000000000000000000000000000000000", 1),
    ],
)
def test_every_spelling_of_whole_cents_is_parsed(text: str, amount_cents: int) -> None:
    assert cents_from_decimal(Decimal(text)) == amount_cents


@given(cents, st.integers(0, 40))
def test_trailing_zeros_change_nothing(amount_cents: int, zeros: int) -> None:
    assert cents_from_decimal(Decimal(format_cents(amount_cents) + "0" * zeros)) == amount_cents


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NaN", "finite"),
        ("sNaN", "finite"),
        ("Infinity", "finite"),
        ("-Infinity", "finite"),
        ("0", "greater than zero"),
        ("-0.00", "greater than zero"),
        ("0e999999", "greater than zero"),
        ("-0.01", "greater than zero"),
        ("-1e999999", "greater than zero"),
        ("0.001", "two decimal places"),
        ("19.905", "two decimal places"),
        ("19.900000000000000000000000000000000001", "two decimal places"),
        ("0.0099999999999999999999999999999999", "two decimal places"),
        ("999999999.999", "two decimal places"),
        ("1e-3", "two decimal places"),
        ("1e-999999", "two decimal places"),
        ("1e-1000001", "two decimal places"),
        ("1e-2000000", "two decimal places"),
        ("1e-99999999999", "two decimal places"),
        ("1000000000.01", "at most 1000000000.00"),
        ("1e400", "at most"),
        ("1e999999", "at most"),
        ("1e99999999999", "at most"),
    ],
)
def test_an_invalid_amount_is_refused_at_once_with_the_reason(text: str, why: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidAmountError, match=why):
        cents_from_decimal(Decimal(text))
    assert time.perf_counter() - started < 0.5


def is_decimal(text: str) -> bool:
    try:
        Decimal(text)
    except ArithmeticError:
        return False
    return True


@given(
    st.decimals(allow_nan=True, allow_infinity=True)
    | st.builds(Decimal, st.text("0123456789eE.-", max_size=14).filter(is_decimal))
)
def test_a_decimal_is_exactly_whole_cents_in_range_or_refused(amount: Decimal) -> None:
    try:
        amount_cents = cents_from_decimal(amount)
    except InvalidAmountError:
        is_small = amount.is_finite() and abs(amount.adjusted()) < 40
        assert not is_small or not (0 < Fraction(amount) <= 10**9 and (Fraction(amount) * 100).denominator == 1)
    else:
        assert 1 <= amount_cents <= AMOUNT_CENTS_MAX
        assert Fraction(amount) * 100 == amount_cents


@given(cents)
def test_the_context_of_the_caller_changes_nothing(amount_cents: int) -> None:
    with localcontext(prec=2):
        assert cents_from_decimal(Decimal(format_cents(amount_cents))) == amount_cents


def test_many_amounts_add_up_exactly_where_floats_do_not() -> None:
    count = 100_000
    total_cents = sum(cents_from_decimal(Decimal("19.90")) for _ in range(count))
    assert format_cents(total_cents) == "1990000.00"
    assert sum(19.90 for _ in range(count)) != 1990000.00
