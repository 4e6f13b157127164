"""An upper bound on the profit of any strategy, computed with knowledge of the whole scenario.

In slices of time, as a fluid: a provider that answers after d seconds can begin at most n / d payments a second with n
places, none that would find it failing when its delay is over, and none that would end after the drain. For unit jobs
with release times and such capacities, serving as early as possible serves the most. So it is computed twice:

    D = the most that `default` alone can charge
    M = the most that both together can charge, with all places at the faster one where they are scarce
    profit <= (1 - 5 %) D + (1 - 15 %) (M - D)

since no plan charges more than D at the lower fee, nor more than M at all. It is a bound, not a plan: no log, no
network, no failed call, places that are free again when a stage ends. It is exact to a slice of time for each stage.
"""

from dataclasses import dataclass

from qa.routing_sim.counter import RUNNING_MAX
from qa.routing_sim.scenario import Scenario
from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.fees import fee_cents

SLICE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Best:
    """The bound: payments charged at each provider, and the profit in cents."""

    default: int
    fallback: int
    profit_cents: int


def best(scenario: Scenario, *, places_max: int, payments_per_second_max: float, drain_seconds: float) -> Best:
    """The bound for a replica with the given places and payments a second."""
    slices = int((scenario.seconds + drain_seconds) / SLICE_SECONDS)
    arrivals = [0] * slices
    for at in scenario.arrivals():
        arrivals[min(int(at / SLICE_SECONDS), slices - 1)] += 1
    per_slice = payments_per_second_max * SLICE_SECONDS
    end = scenario.seconds + drain_seconds
    own = [_capacities(scenario, name, slices, min(places_max, RUNNING_MAX), end) for name in PROVIDERS]
    shared = [_capacities(scenario, name, slices, places_max, end) for name in PROVIDERS]
    together = [
        min(sum(here), max(there), per_slice)
        for here, there in zip(zip(*own, strict=True), zip(*shared, strict=True), strict=True)
    ]
    default = _served(arrivals, [min(capacity, per_slice) for capacity in own[0]])
    both = _served(arrivals, together)
    amount = scenario.amount_cents
    profit = default * (amount - fee_cents("default", amount)) + (both - default) * (
        amount - fee_cents("fallback", amount)
    )
    return Best(default, both - default, profit)


def _capacities(scenario: Scenario, name: ProviderName, slices: int, places: int, end: float) -> list[float]:
    """How many payments that will be charged may begin in each slice."""
    capacities = []
    stage_before = None
    for number in range(slices):
        now = number * SLICE_SECONDS
        stage = scenario.stage(now)
        weather = stage.default if name == "default" else stage.fallback
        done_at = now + weather.delay_seconds
        later = scenario.stage(done_at)
        is_charged = done_at <= end and not (later.default if name == "default" else later.fallback).failing
        capacity = places * SLICE_SECONDS / weather.delay_seconds if weather.delay_seconds else float("inf")
        # All places left free by an earlier stage can begin at once.
        if stage is not stage_before:
            capacity += places
        stage_before = stage
        capacities.append(capacity if is_charged else 0.0)
    return capacities


def _served(arrivals: list[int], capacities: list[float]) -> int:
    waiting = served = 0.0
    for arrived, capacity in zip(arrivals, capacities, strict=True):
        waiting += arrived
        now = min(waiting, capacity)
        waiting -= now
        served += now
    return round(served)
