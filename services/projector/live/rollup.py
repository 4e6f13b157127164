"""The rollup: sums of charges by second, so that a summary costs the same for any number of payments. Pure.

A partial counts the payments of one provider, stamped in one second, whose PaymentProcessed lies in one chunk of the
log. The whole seconds of a window are summed from partials; rows are read only for the two seconds that its bounds cut.
The chunk allows a summary as of an earlier position: the partials of all chunks before it, and the rows of its own
chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tollgate.contract.timestamps import MICROSECONDS
from tollgate.projector.live.projection import SettledRow

CHUNK_SEQUENCES = 65_536
ROLLUP_RECENT_MAX = 4_096
"""Limit of partials of single commits before they are merged: about ten minutes of them."""

_FOREVER_US = 2**62
"""Far outside the range of stamps, and far enough inside a BIGINT for arithmetic."""

Partial = tuple[int, int, str, int, int]
"""Second, chunk, provider, payments, amount in cents."""


def chunk_of(sequence: int) -> int:
    """The chunk of the log that holds this sequence."""
    return sequence // CHUNK_SEQUENCES


def first_sequence_of(chunk: int) -> int:
    """The first sequence of the chunk."""
    return chunk * CHUNK_SEQUENCES


def partials(rows: Sequence[SettledRow]) -> list[Partial]:
    """The rows as partials, in the order of their seconds."""
    sums: dict[tuple[int, int, str], tuple[int, int]] = {}
    for row in rows:
        key = row.requested_at_us // MICROSECONDS, chunk_of(row.sequences[-1]), row.provider
        payments, amount_cents = sums.get(key, (0, 0))
        sums[key] = payments + 1, amount_cents + row.amount_cents
    return [(*key, *sums[key]) for key in sorted(sums)]


@dataclass(frozen=True, slots=True)
class Window:
    """A window of stamps. Both bounds are inclusive, in microseconds since the epoch; None leaves that side open."""

    from_us: int | None
    to_us: int | None

    @property
    def parameters(self) -> dict[str, object]:
        """The window cut into whole seconds and two ragged ends, any of which may be empty (first > last)."""
        from_us = -_FOREVER_US if self.from_us is None else self.from_us
        to_us = _FOREVER_US if self.to_us is None else self.to_us
        first = -(-from_us // MICROSECONDS)
        last = (to_us + 1) // MICROSECONDS - 1
        # A window without a whole second is all ragged head.
        is_ragged = first > last
        return {
            "from_us": from_us,
            "to_us": to_us,
            "first_second": first,
            "last_second": last,
            "head_last_us": to_us if is_ragged else first * MICROSECONDS - 1,
            "tail_first_us": to_us + 1 if is_ragged else (last + 1) * MICROSECONDS,
        }
