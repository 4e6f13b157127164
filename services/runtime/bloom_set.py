"""A set of millions of correlationIds in two bytes each.

It is a Bloom filter: an id that it does not contain is new; one that it contains may be known, and must be looked up.
"""

from rbloom import Bloom

FALSE_POSITIVES = 0.0005
"""The share of new payments that cause a needless lookup."""
FIRST_CAPACITY = 500_000
"""Ids in the first filter (about 1 MB); each further one holds twice as many as the one before."""


class BloomSet:
    """A set of correlationIds. `in` may be true for an id that was not added, and is never false for one that was."""

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
