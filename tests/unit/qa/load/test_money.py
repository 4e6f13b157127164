from decimal import Decimal

import pytest

from qa.load.money import NotCentsError, cents_of, constant, decimal_text, randomly, read_json


@pytest.mark.parametrize(
    ("text", "cents"),
    [("19.9", 1990), ("19.90", 1990), ("0", 0), ("7", 700), ("1.5e2", 15000), ("656700.00", 65670000), ("0.01", 1)],
)
def test_an_amount_is_read_exactly_as_it_was_written(text: str, cents: int) -> None:
    assert cents_of(read_json(text)) == cents


@pytest.mark.parametrize("text", ["0.001", "19.900000000000002", "true", '"19.90"', "null", "NaN"])
def test_what_is_no_whole_number_of_cents_is_refused_and_not_rounded(text: str) -> None:
    with pytest.raises(NotCentsError):
        cents_of(read_json(text))


@pytest.mark.parametrize(("cents", "text"), [(1990, "19.90"), (5, "0.05"), (100, "1.00"), (-199, "-1.99")])
def test_cents_are_written_with_two_decimals(cents: int, text: str) -> None:
    assert decimal_text(cents) == text
    assert cents_of(Decimal(text)) == cents


def test_random_amounts_differ_and_come_again_for_the_same_seed() -> None:
    first, second, other = randomly(7), randomly(7), randomly(8)
    drawn = [first() for _ in range(50)]
    assert drawn == [second() for _ in range(50)]
    assert drawn != [other() for _ in range(50)]
    assert len(set(drawn)) > 40


def test_a_constant_amount_stays() -> None:
    draw = constant(1990)
    assert {draw() for _ in range(5)} == {1990}
