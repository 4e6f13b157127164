"""The file of the charges, from which a restarted provider restores them."""

import os
from collections.abc import Iterator
from pathlib import Path

import orjson

from tollgate.simulator.book import Payment
from tollgate.simulator.order import correlation_id_of, key_from


class UnreadableBookError(Exception):
    """The file is not a file of charges."""


class BookFile:
    """Charges as JSON lines, in the order in which they were made. Each is written with one system call.

    It survives the end of the program, not of the machine: nothing is synced to the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def payments(self) -> Iterator[Payment]:
        """Every charge so far. Raises UnreadableBookError."""
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    fields = orjson.loads(line)
                    key = key_from(fields["correlationId"])
                    yield Payment(key, fields["amountCents"], fields["requestedAtUs"], fields["receivedAtUs"])
                except (ValueError, LookupError, TypeError) as reason:
                    raise UnreadableBookError(
                        f"{self._path} is not a file of charges: line {number} is no charge"
                    ) from reason

    def append(self, payment: Payment) -> None:
        """Writes the charge. Raises OSError when it cannot be written; the charge must not be made then."""
        os.write(
            self._file,
            orjson.dumps(
                {
                    "correlationId": correlation_id_of(payment.key),
                    "amountCents": payment.amount_cents,
                    "requestedAtUs": payment.requested_at_us,
                    "receivedAtUs": payment.received_at_us,
                },
                option=orjson.OPT_APPEND_NEWLINE,
            ),
        )

    def clear(self) -> None:
        """Deletes all charges."""
        os.ftruncate(self._file, 0)
