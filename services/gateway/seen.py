"""Which payments were asked for before, as far back as the log goes.

The broker itself drops repeats for half a minute (`duplicate_window`); for ever, that takes it 200 bytes an id.
This needs two: a Bloom filter tells the new from those that may be known, and only the latter cost a question to the
read model, which is exact.
"""

from rbloom import Bloom

FALSE_POSITIVES = 0.0005
"""So many new payments cost a needless question."""
FIRST_CAPACITY = 500_000
"""Ids in the first filter (about 1 MB); each further one holds twice as many as the one before."""


class SeenPayments:
    """A set of correlationIds that may say yes to one it does not hold, and never no to one it holds."""

    def __init__(self) -> None:
        self._capacity = self._room = FIRST_CAPACITY
        self._filters = [_empty(FIRST_CAPACITY)]

    def __contains__(self, correlation_id: str) -> bool:
        return any(correlation_id in one for one in self._filters)

    def add(self, correlation_id: str) -> None:
        if self._room == 0:
            self._capacity *= 2
            self._room = self._capacity
            self._filters.append(_empty(self._capacity))
        self._room -= 1
        self._filters[-1].add(correlation_id)

    def clear(self) -> None:
        self._capacity = self._room = FIRST_CAPACITY
        self._filters = [_empty(FIRST_CAPACITY)]


def _empty(capacity: int) -> Bloom:
    return Bloom(capacity, FALSE_POSITIVES)
