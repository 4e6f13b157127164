"""The tables of results of each strategy, on one scenario or on many."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from qa.routing_sim.oracle import Best, best
from qa.routing_sim.scenario import Scenario
from qa.routing_sim.strategy import strategies
from qa.routing_sim.trial import BELL_SECONDS, PAYMENTS_PER_SECOND_MAX, Result, Trial
from tollgate.processor.routing import Policy


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy on one scenario, with the bounds for it after the drain and at its end."""

    scenario: Scenario
    strategy: str
    best: Best
    best_at_bell: Best
    result: Result

    @property
    def share(self) -> float:
        return self.result.profit_cents / max(self.best.profit_cents, 1)

    @property
    def share_at_bell(self) -> float:
        return self.result.bell_profit_cents / max(self.best_at_bell.profit_cents, 1)

    @property
    def is_chargeable(self) -> bool:
        """Whether the providers can charge every payment."""
        return self.best.default + self.best.fallback >= self.result.payments


def run(scenario: Scenario, policy: Policy, seed: int, names: Sequence[str], *, scale: float = 1.0) -> list[Row]:
    """Runs every named strategy on the scenario, with payments, places and CPU multiplied by the scale."""
    scenario = scenario.scaled(scale)
    policy = replace(policy, concurrency_max=max(round(policy.concurrency_max * scale), 2))
    rate_max = PAYMENTS_PER_SECOND_MAX * scale
    bound, at_bell = (
        best(
            scenario,
            places_max=policy.concurrency_max,
            payments_per_second_max=rate_max,
            drain_seconds=drain_seconds,
        )
        for drain_seconds in (scenario.drain_seconds, BELL_SECONDS)
    )
    fresh = strategies(policy, seed)
    return [
        Row(
            scenario,
            name,
            bound,
            at_bell,
            Trial(scenario, fresh[name], seed=seed, payments_per_second_max=rate_max).run(),
        )
        for name in names
    ]


ONE_HEAD = (
    f"  {'':22} {'profit':>13} {'of best':>8} {'at the end':>10} {'default':>8} {'fallback':>8} {'twice':>6} "
    f"{'lag':>6} {'drained':>8} {'p50 s':>7} {'p99 s':>7} {'wasted':>7}"
)


def one(rows: Sequence[Row]) -> str:
    """The table of a scenario."""
    scenario, bound = rows[0].scenario, rows[0].best
    lines = [
        f"{scenario.name}: {rows[0].result.payments} payments in {scenario.seconds:.0f} s; best possible "
        f"{bound.profit_cents / 100:,.2f} with {bound.default} at default, {bound.fallback} at fallback",
        ONE_HEAD,
    ]
    for row in rows:
        result = row.result
        lines.append(
            f"  {row.strategy:22} {result.profit_cents / 100:13,.2f} {row.share:8.2%} {row.share_at_bell:10.2%} "
            f"{result.charged['default']:8} {result.charged['fallback']:8} {result.charged_twice:6} "
            f"{result.lag_at_bell:6} {result.lag:8} {result.settle_seconds_p50:7.2f} {result.settle_seconds_p99:7.1f} "
            f"{result.wasted_calls:7}"
        )
    return "\n".join(lines)


def many(rows: Iterable[Row]) -> str:
    """Over many scenarios, a line for each strategy; first those whose payments can all be charged, then the others."""
    every = list(rows)
    parts = []
    for is_chargeable, title in ((True, "every payment can be charged"), (False, "not all payments can be charged")):
        chosen = [row for row in every if row.is_chargeable is is_chargeable]
        if chosen:
            parts.append(_many(chosen, title))
    return "\n\n".join(parts)


def _many(rows: Sequence[Row], title: str) -> str:
    scenarios = len({row.scenario.name for row in rows})
    lines = [
        f"{scenarios} scenarios in which {title}",
        f"  {'':22} {'mean':>8} {'1 in 20':>8} {'worst':>8} {'worst is':>14} {'twice':>7} {'not charged':>12} "
        f"{'p99 s':>7} {'wasted':>7}",
    ]
    for name in dict.fromkeys(row.strategy for row in rows):
        own = sorted((row for row in rows if row.strategy == name), key=lambda row: row.share)
        payments = sum(row.result.payments for row in own)
        lines.append(
            f"  {name:22} {fmean(row.share for row in own):8.2%} {own[len(own) // 20].share:8.2%} "
            f"{own[0].share:8.2%} {own[0].scenario.name:>14} {sum(row.result.charged_twice for row in own):7} "
            f"{sum(row.result.lag for row in own) / payments:12.3%} "
            f"{fmean(min(row.result.settle_seconds_p99, 999) for row in own):7.1f} "
            f"{sum(row.result.wasted_calls for row in own) / payments:7.1%}"
        )
    return "\n".join(lines)
