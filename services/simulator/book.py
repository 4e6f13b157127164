"""The book: every charge this processor made, in memory, and the sums over a window of it."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tollgate.simulator.moment import EARLIEST_US, LATEST_US

_SECOND_US = 1_000_000


class DuplicateError(Exception):
    """This correlationId has been charged before."""


class BookFullError(Exception):
    """The book holds as many payments as it may."""


class Payment(NamedTuple):
    """One charge: when it was asked for (by the client's word) and when its request arrived, microseconds UTC."""

    key: bytes
    amount_cents: int
    requested_at_us: int
    received_at_us: int


class Totals(NamedTuple):
    """How many payments, and their amount in cents."""

    payments: int
    amount_cents: int


class _Second:
    """The rows whose requestedAt lies in one second, and their sum."""

    __slots__ = ("amount_cents", "rows")

    def __init__(self) -> None:
        self.rows = array("I")
        self.amount_cents = 0


class Book:
    """At most `max_payments` charges by key, in the order they were made.

    Columns of plain integers, so that millions of payments stay small (about 220 bytes each) and give the garbage
    collector nothing to walk.
    Seconds are summed as they fill, so that a window costs its two edges and not the whole book.
    `keep` is told of each charge before it counts.
    """

    def __init__(self, max_payments: int, keep: Callable[[Payment], None] = lambda _: None) -> None:
        self._max_payments = max_payments
        self._keep = keep
        self._row_by_key: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._amounts_cents = array("q")
        self._requested_at_us = array("q")
        self._received_at_us = array("q")
        self._seconds: dict[int, _Second] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def charge(self, payment: Payment) -> None:
        """Enters `payment`; raises DuplicateError when its key is known, else BookFullError when it has no room."""
        if payment.key in self._row_by_key:
            raise DuplicateError
        if len(self._keys) >= self._max_payments:
            raise BookFullError
        self._keep(payment)
        self._enter(payment)

    def remember(self, payments: Iterable[Payment]) -> None:
        """Enters charges that were made before this program was started."""
        for payment in payments:
            self._enter(payment)

    def _enter(self, payment: Payment) -> None:
        key, amount_cents, requested_at_us, received_at_us = payment
        row = len(self._keys)
        self._row_by_key[key] = row
        self._keys.append(key)
        self._amounts_cents.append(amount_cents)
        self._requested_at_us.append(requested_at_us)
        self._received_at_us.append(received_at_us)
        number = requested_at_us // _SECOND_US
        second = self._seconds.get(number)
        if second is None:
            second = self._seconds[number] = _Second()
        second.rows.append(row)
        second.amount_cents += amount_cents

    def find(self, key: bytes) -> Payment | None:
        """The charge of `key`, or None."""
        row = self._row_by_key.get(key)
        return None if row is None else self._payment(row)

    def page(self, start: int, size: int) -> list[Payment]:
        """Up to `size` charges from the `start`th on, oldest first; safe while charges are being added."""
        return [self._payment(row) for row in range(start, min(start + size, len(self)))]

    def totals(self, from_us: int | None = None, to_us: int | None = None) -> Totals:
        """The sum of the charges whose requestedAt lies in the window; both ends belong to it, None leaves one open."""
        first_us = EARLIEST_US if from_us is None else from_us
        last_us = LATEST_US if to_us is None else to_us
        payments = amount_cents = 0
        for part in self._parts(first_us, last_us):
            payments += part.payments
            amount_cents += part.amount_cents
        return Totals(payments, amount_cents)

    def _parts(self, first_us: int, last_us: int) -> Iterator[Totals]:
        first, last = first_us // _SECOND_US, last_us // _SECOND_US
        for number, second in self._seconds.items():
            if first < number < last:
                yield Totals(len(second.rows), second.amount_cents)
            elif number in (first, last):
                yield self._edge(second, first_us, last_us)

    def _edge(self, second: _Second, first_us: int, last_us: int) -> Totals:
        inside = [row for row in second.rows if first_us <= self._requested_at_us[row] <= last_us]
        return Totals(len(inside), sum(self._amounts_cents[row] for row in inside))

    def _payment(self, row: int) -> Payment:
        return Payment(self._keys[row], self._amounts_cents[row], self._requested_at_us[row], self._received_at_us[row])
