"""Counters at one time, and the rates and quantiles between two times. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.timestamps import MICROSECONDS

_BUCKET = re.compile(r"^(?P<name>[a-z_:]+)_bucket\{(?P<labels>.*)\}$")
_LABEL = re.compile(r'([a-zA-Z_]+)="([^"]*)"')

Buckets = Mapping[float, float]
"""The cumulative counts of a histogram by the buckets' upper bounds in seconds; the last bound is infinite."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters and gauges at one time. None where the question was not answered."""

    at_us: int
    accepted: int | None = None
    settled: Mapping[ProviderName, int] | None = None
    queue: int | None = None
    in_doubt: int | None = None
    accept_buckets: Buckets = field(default_factory=dict)
    call_buckets: Mapping[ProviderName, Buckets] = field(default_factory=dict)
    """Of the calls to each provider."""


@dataclass(frozen=True, slots=True)
class Point:
    """What happened between two samples: payments a second, quantiles in milliseconds, and the gauges at its end."""

    at_ms: int
    accepted: float | None
    default: float | None
    fallback: float | None
    p50_ms: float | None
    p99_ms: float | None
    queue: int | None
    in_doubt: int | None


def point_between(earlier: Sample, later: Sample) -> Point:
    """The point at `later`. A counter that went back has no rate: the log was purged."""
    seconds = (later.at_us - earlier.at_us) / MICROSECONDS
    rates = {name: _settled_rate(earlier, later, name, seconds) for name in PROVIDERS}
    buckets = increase(earlier.accept_buckets, later.accept_buckets)
    return Point(
        at_ms=later.at_us // 1_000,
        accepted=rate(earlier.accepted, later.accepted, seconds),
        default=rates["default"],
        fallback=rates["fallback"],
        p50_ms=_milliseconds(quantile(buckets, 0.5)),
        p99_ms=_milliseconds(quantile(buckets, 0.99)),
        queue=later.queue,
        in_doubt=later.in_doubt,
    )


def rate(earlier: int | None, later: int | None, seconds: float) -> float | None:
    """The increase a second; None if it is unknown."""
    if earlier is None or later is None or later < earlier or seconds <= 0:
        return None
    return (later - earlier) / seconds


def buckets_of(samples: Iterable[Mapping[str, float]], name: str, labels: Mapping[str, str] | None = None) -> Buckets:
    """The sum of the histogram `name` over programs, of the series that carry all `labels`."""
    wanted = (labels or {}).items()
    summed: dict[float, float] = {}
    for one in samples:
        for key, value in one.items():
            found = _BUCKET.match(key)
            if found is None or found["name"] != name:
                continue
            carried = dict(_LABEL.findall(found["labels"]))
            if wanted <= carried.items():
                bound = float(carried["le"].replace("+Inf", "inf"))
                summed[bound] = summed.get(bound, 0.0) + value
    return summed


def increase(earlier: Buckets, later: Buckets) -> Buckets:
    """What was counted in between. Where a count went back a program has restarted, and the later counts are taken."""
    if any(later.get(bound, 0.0) < count for bound, count in earlier.items()):
        return later
    return {bound: count - earlier.get(bound, 0.0) for bound, count in later.items()}


def quantile(buckets: Buckets, share: float) -> float | None:
    """The quantile in seconds, linear inside its bucket; None without observations.

    In the last bucket it is that bucket's lower bound.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if bound == float("inf") or count == below:
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower


def _settled_rate(earlier: Sample, later: Sample, name: ProviderName, seconds: float) -> float | None:
    if earlier.settled is None or later.settled is None:
        return None
    return rate(earlier.settled.get(name, 0), later.settled.get(name, 0), seconds)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 3)
