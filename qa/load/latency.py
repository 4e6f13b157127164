"""Latencies, collected as plain numbers and reported as percentiles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles in milliseconds; zero where nothing was measured."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def percentiles(seconds: Iterable[float]) -> Percentiles:
    """Nearest-rank percentiles: each figure is a measured one."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000 if ordered else 0.0

    return Percentiles(len(ordered), at(0.50), at(0.90), at(0.99), at(1.0))
