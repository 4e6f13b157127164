"""The record of every charge of this provider, in memory, with sums over a window."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tollgate.simulator.moment import EARLIEST_US, LATEST_US

_SECOND_US = 1_000_000


class DuplicateError(Exception):
    """This correlationId has been charged before."""


class BookFullError(Exception):
    """The limit of recorded payments is reached."""


class Payment(NamedTuple):
    """One charge, with the client's `requestedAt` and the time its request arrived, in microseconds UTC."""

    key: bytes
    amount_cents: int
    requested_at_us: int
    received_at_us: int


class Totals(NamedTuple):
    """The number of payments, and their sum in cents."""

    payments: int
    amount_cents: int


class _Second:
    """The rows whose requestedAt is in one second, and their sum."""

    __slots__ = ("amount_cents", "rows")

    def __init__(self) -> None:
        self.rows = array("I")
        self.amount_cents = 0


class Book:
    """At most `max_payments` charges by key, in the order in which they were made.

    Columns of plain integers keep millions of payments small (about 220 bytes each) and out of the garbage collector.
    Sums by second are kept, so that a window costs its two edges and not all rows. `keep` is called with each charge
    before it counts.
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
        """Records `payment`. Raises DuplicateError when its key is recorded, BookFullError at the limit."""
        if payment.key in self._row_by_key:
            raise DuplicateError
        if len(self._keys) >= self._max_payments:
            raise BookFullError
        self._keep(payment)
        self._enter(payment)

    def remember(self, payments: Iterable[Payment]) -> None:
        """Records charges of an earlier process."""
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
        """Up to `size` charges from index `start`, oldest first; safe while charges are being added."""
        return [self._payment(row) for row in range(start, min(start + size, len(self)))]

    def totals(self, from_us: int | None = None, to_us: int | None = None) -> Totals:
        """Sums the charges whose requestedAt is in the window; both bounds are inclusive, None leaves a side open."""
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
