"""The points of the last five minutes, hour and day, in memory. Pure.

Bounds: SPANS gives each series at most 361 points; the oldest is dropped for a new one. A restart begins anew.
"""

from collections import deque
from dataclasses import asdict, fields

from tollgate.console.samples import Point, Sample, point_between
from tollgate.contract.timestamps import MICROSECONDS

SPANS: dict[str, tuple[int, int]] = {"5m": (300, 1), "1h": (3_600, 10), "24h": (86_400, 240)}
"""Seconds that a series covers, and seconds between two of its points."""
_GAP_STEPS, _GAP_SECONDS = 3, 30.0
"""After a pause that is longer than both, nothing is known of it: the machine slept, or the console was stopped."""
_TOLERANCE_SECONDS = 0.4
"""A sample that comes earlier by less belongs to the next point: questions take unequal times."""


class Series:
    """Points that are at least `step_seconds` apart, over the last `span_seconds`."""

    def __init__(self, span_seconds: int, step_seconds: int) -> None:
        self._span_us = span_seconds * MICROSECONDS
        self._gap_us = max(step_seconds * _GAP_STEPS, _GAP_SECONDS) * MICROSECONDS
        self._step_us = (step_seconds - _TOLERANCE_SECONDS) * MICROSECONDS
        self._last: Sample | None = None
        self.points: deque[Point] = deque(maxlen=span_seconds // step_seconds + 1)

    def add(self, sample: Sample) -> Point | None:
        """Adds the point that ends with the sample; None if it is too early for one."""
        if self._last is None or sample.at_us < self._last.at_us:
            self._last = sample
            return None
        if sample.at_us - self._last.at_us < self._step_us:
            return None
        is_after_gap = sample.at_us - self._last.at_us > self._gap_us
        point = _unknown(sample) if is_after_gap else point_between(self._last, sample)
        self._last = sample
        self.points.append(point)
        while self.points[0].at_ms * 1_000 < sample.at_us - self._span_us:
            self.points.popleft()
        return point

    def columns(self) -> dict[str, list[float | None]]:
        """The points by field, as charts take them."""
        names = [one.name for one in fields(Point)]
        rows = [asdict(point) for point in self.points]
        return {name: [row[name] for row in rows] for name in names}


def _unknown(sample: Sample) -> Point:
    """A point without values, which interrupts the lines of a chart."""
    return Point(sample.at_us // 1_000, *[None] * (len(fields(Point)) - 1))


class History:
    """One series for each of SPANS."""

    def __init__(self) -> None:
        self.series = {name: Series(*bounds) for name, bounds in SPANS.items()}

    def add(self, sample: Sample) -> Point | None:
        """Adds the sample to every series. Returns the new point of the shortest one."""
        points = {name: series.add(sample) for name, series in self.series.items()}
        return points["5m"]
