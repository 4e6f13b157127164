"""Sums of the simulators' counts over restarts: a killed simulator begins again at zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Counters:
    """Counts read at intervals; those between the last reading and a kill are missing."""

    def __init__(self) -> None:
        self._ended: Counter[str] = Counter()
        self._last: dict[str, Mapping[str, int]] = {}

    def note(self, simulator: str, stats: Mapping[str, int]) -> None:
        """Takes the counts of `simulator` since its start."""
        last = self._last.get(simulator, {})
        if any(stats.get(name, 0) < count for name, count in last.items() if name not in _CURRENT):
            self._ended.update({name: count for name, count in last.items() if name not in _CURRENT})
        self._last[simulator] = stats

    def total(self, name: str) -> int:
        """The sums over all simulators."""
        return self._ended[name] + sum(stats.get(name, 0) for stats in self._last.values())


_CURRENT = {"stored", "running", "waiting"}
"""Current values, not counts."""
