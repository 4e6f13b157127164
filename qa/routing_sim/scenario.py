"""Scenarios: how many payments arrive, and how the two providers behave."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

CONTEST_DRAIN_SECONDS = 30.0
"""As in qa/load/k6."""
DRAIN_SECONDS = 60.0
"""Longer than patience: measured is where payments were charged, not that the scenario ended."""


@dataclass(frozen=True, slots=True)
class Weather:
    """The behaviour of one provider: it answers after the delay, with a failure or a charge."""

    delay_seconds: float
    failing: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """The providers' behaviour from `at_seconds` until the next stage."""

    at_seconds: float
    default: Weather
    fallback: Weather


@dataclass(frozen=True, slots=True)
class Scenario:
    """Payments of `amount_cents` arrive for `seconds`, at a rate that changes linearly from first to last."""

    name: str
    seconds: float
    payments_per_second: tuple[float, float]
    amount_cents: int
    stages: tuple[Stage, ...]
    drain_seconds: float = DRAIN_SECONDS
    """How long the payments left at the end may take to be charged; the last stage continues."""

    def arrivals(self) -> list[float]:
        """When each payment is accepted, in order: by time t as many as the integral of the rate."""
        first, last = self.payments_per_second
        slope = (last - first) / self.seconds
        count = int((first + last) / 2 * self.seconds)
        if abs(slope) < 1e-9:  # noqa: PLR2004 - an even rate
            return [number / first for number in range(count)]
        # The root of slope / 2 * t^2 + first * t = number.
        return [((first * first + 2 * slope * number) ** 0.5 - first) / slope for number in range(count)]

    def scaled(self, scale: float) -> "Scenario":
        """The same scenario with the payments multiplied by the factor."""
        first, last = self.payments_per_second
        return replace(self, payments_per_second=(first * scale, last * scale))

    def stage(self, now: float) -> Stage:
        index = bisect_right([stage.at_seconds for stage in self.stages], now) - 1
        return self.stages[max(index, 0)]


def contest(name: str, seconds: float, peak: float, amount_cents: int, rows: Sequence[tuple[float, ...]]) -> Scenario:
    """A scenario as in the benchmark; each row: second, delay in ms and failing (0 or 1) of default, of fallback."""
    stages = tuple(
        Stage(at, Weather(d / 1000, bool(d_failing)), Weather(f / 1000, bool(f_failing)))
        for at, d, d_failing, f, f_failing in rows
    )
    return Scenario(name, seconds, (1.0, peak), amount_cents, stages, CONTEST_DRAIN_SECONDS)


PREVIEW = contest(
    "preview",
    60,
    550,
    1990,
    [
        (0, 0, 0, 0, 0),
        (10, 100, 0, 0, 0),
        (20, 100, 1, 0, 0),
        (30, 2000, 1, 1000, 1),
        (40, 20, 0, 20, 0),
        (50, 0, 0, 5000, 0),
    ],
)
FINAL = contest(
    "final",
    300,
    603,
    2005,
    [
        (0, 0, 0, 0, 0),
        (30, 1000, 0, 0, 0),
        (60, 500, 0, 0, 0),
        (90, 2000, 1, 1000, 0),
        (120, 5000, 1, 5, 0),
        (150, 0, 0, 5, 1),
        (180, 100, 0, 5, 0),
        (210, 50, 0, 0, 0),
        (240, 103, 0, 10, 0),
        (270, 2000, 0, 0, 0),
    ],
)

ADVERSARIAL = (
    contest("flapping", 60, 400, 1990, [(at, 20, at % 4 == 2, 20, 0) for at in range(0, 60, 2)]),  # noqa: PLR2004
    contest("taking turns", 60, 400, 1990, [(at, 50, (at // 5) % 2, 50, 1 - (at // 5) % 2) for at in range(0, 60, 5)]),
    contest("default never", 60, 400, 1990, [(0, 0, 1, 20, 0)]),
    contest("fallback never", 60, 400, 1990, [(0, 20, 0, 0, 1)]),
    contest("both away", 60, 400, 1990, [(0, 20, 0, 20, 0), (10, 3000, 1, 3000, 1), (50, 20, 0, 20, 0)]),
    contest("default just too slow", 60, 500, 1990, [(0, 1200, 0, 50, 0)]),
    contest("both slow", 60, 300, 1990, [(0, 2000, 0, 2000, 0)]),
    contest("gone near the end", 60, 500, 1990, [(0, 20, 0, 20, 0), (45, 20, 1, 20, 0)]),
    contest("slow failures", 60, 400, 1990, [(0, 50, 0, 50, 0), (15, 5000, 1, 50, 0), (40, 50, 0, 50, 0)]),
)


def random_scenario(seed: int) -> Scenario:
    """A scenario of 40 to 100 s with stages of 5 to 25 s. In its last stage at least one provider works."""
    chance = Random(seed)  # noqa: S311 - to be replayed, no secrets
    seconds = float(chance.randint(40, 100))
    stages: list[Stage] = []
    at = 0.0
    while at < seconds:
        stages.append(Stage(at, _random_weather(chance), _random_weather(chance)))
        at += chance.uniform(5, 25)
    last = stages[-1]
    if last.default.failing and last.fallback.failing:
        stages[-1] = Stage(last.at_seconds, Weather(last.default.delay_seconds), last.fallback)
    rates = (chance.uniform(1, 300), chance.uniform(50, 500))
    return Scenario(f"random {seed}", seconds, rates, 1990, tuple(stages))


def _random_weather(chance: Random) -> Weather:
    delay_seconds = chance.choice((0.0, 0.005, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0))
    return Weather(delay_seconds, failing=chance.random() < 0.25)  # noqa: PLR2004 - a quarter of the time
