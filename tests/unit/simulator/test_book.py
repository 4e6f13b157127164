import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.simulator.book import Book, BookFullError, DuplicateError, Payment, Totals

SECOND_US = 1_000_000


def payment(number: int, amount_cents: int = 1990, requested_at_us: int = 0) -> Payment:
    return Payment(number.to_bytes(16, "big"), amount_cents, requested_at_us, number)


def book_of(*payments: Payment, max_payments: int = 1000) -> Book:
    book = Book(max_payments)
    for each in payments:
        book.charge(each)
    return book


def test_a_charge_can_be_found_again() -> None:
    charged = payment(1, 5, 7)
    book = book_of(payment(0), charged)
    assert book.find(charged.key) == charged
    assert len(book) == 2


def test_what_was_not_charged_is_not_found() -> None:
    assert book_of().find(payment(1).key) is None


def test_a_duplicate_is_refused_and_changes_nothing() -> None:
    book = book_of(payment(1, 100))
    with pytest.raises(DuplicateError):
        book.charge(payment(1, 200))
    assert book.totals() == Totals(1, 100)


def test_at_the_limit_no_payment_is_recorded_and_recorded_ones_are_still_found() -> None:
    book = book_of(payment(1), max_payments=1)
    with pytest.raises(BookFullError):
        book.charge(payment(2))
    with pytest.raises(DuplicateError):
        book.charge(payment(1))
    assert len(book) == 1


def test_both_ends_belong_to_the_window() -> None:
    book = book_of(*(payment(at, 1, at) for at in (9, 10, 11, 19, 20, 21)))
    assert book.totals(10, 20) == Totals(4, 4)
    assert book.totals(10, 10) == Totals(1, 1)


def test_each_end_of_the_window_may_stay_open() -> None:
    book = book_of(*(payment(second, 1, second * SECOND_US) for second in range(10)))
    assert book.totals() == Totals(10, 10)
    assert book.totals(from_us=4 * SECOND_US) == Totals(6, 6)
    assert book.totals(to_us=4 * SECOND_US) == Totals(5, 5)


def test_a_window_that_ends_before_it_begins_is_empty() -> None:
    assert book_of(payment(1, requested_at_us=5)).totals(6, 4) == Totals(0, 0)


MOMENTS_US = st.integers(-3 * SECOND_US, 3 * SECOND_US)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**11), MOMENTS_US)), MOMENTS_US, MOMENTS_US)
def test_any_window_sums_what_lies_in_it(charges: list[tuple[int, int]], from_us: int, to_us: int) -> None:
    book = book_of(*(payment(number, cents, at_us) for number, (cents, at_us) in enumerate(charges)))
    inside = [cents for cents, at_us in charges if from_us <= at_us <= to_us]
    assert book.totals(from_us, to_us) == Totals(len(inside), sum(inside))


def test_pages_list_every_charge_once_in_order() -> None:
    charged = [payment(number) for number in range(5)]
    book = book_of(*charged)
    assert [*book.page(0, 2), *book.page(2, 2), *book.page(4, 2)] == charged
    assert book.page(6, 2) == []
