"""Millions of payments that were met before, in two bytes each.

A Bloom filter tells the new from those that may have been met; only the latter cost a question to somebody who knows.
"""

from rbloom import Bloom

FALSE_POSITIVES = 0.0005
"""So many new payments cost a needless question."""
FIRST_CAPACITY = 500_000
"""Ids in the first filter (about 1 MB); each further one holds twice as many as the one before."""


class BloomSet:
    """A set of correlationIds that may say yes to one it does not hold, and never no to one it holds."""

    def __init__(self, first_capacity: int = FIRST_CAPACITY) -> None:
        self._first_capacity = self._capacity = self._room = first_capacity
        self._filters = [_empty(first_capacity)]

    def __contains__(self, correlation_id: object) -> bool:
        return any(correlation_id in one for one in self._filters)

    def add(self, correlation_id: str) -> None:
        if self._room == 0:
            self._capacity *= 2
            self._room = self._capacity
            self._filters.append(_empty(self._capacity))
        self._room -= 1
        self._filters[-1].add(correlation_id)

    def clear(self) -> None:
        self._capacity = self._room = self._first_capacity
        self._filters = [_empty(self._first_capacity)]


def _empty(capacity: int) -> Bloom:
    return Bloom(capacity, FALSE_POSITIVES)
