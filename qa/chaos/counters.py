"""What the simulators count, added up over all the lives of each: one that is killed begins again at zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Counters:
    """Counts read now and then; what a simulator counted between the last reading and its death is missing."""

    def __init__(self) -> None:
        self._ended: Counter[str] = Counter()
        self._last: dict[str, Mapping[str, int]] = {}

    def note(self, simulator: str, stats: Mapping[str, int]) -> None:
        """What `simulator` says it has counted since it was started."""
        last = self._last.get(simulator, {})
        if any(stats.get(name, 0) < count for name, count in last.items() if name not in _CURRENT):
            self._ended.update({name: count for name, count in last.items() if name not in _CURRENT})
        self._last[simulator] = stats

    def total(self, name: str) -> int:
        """Of all simulators."""
        return self._ended[name] + sum(stats.get(name, 0) for stats in self._last.values())


_CURRENT = {"stored", "running", "waiting"}
"""Not counts, but how many there are now."""
