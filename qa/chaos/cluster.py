"""The plan of a run with three brokers and two projectors. Pure: the same seed gives the same plan.

The log's leader is chosen by the brokers, so a fault names it as `leader`, and hits the one that leads at that moment.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from qa.chaos.plan import (
    BROKER,
    GATEWAYS,
    PROCESSORS,
    PROGRAMS,
    PROJECTOR,
    Fault,
    Plan,
    Recipe,
    bounded,
    plan,
)
from qa.chaos.proxy import Mode

BROKERS = ("nats-1", "nats-2", "nats-3")
LEADER = "leader"
PROJECTORS = (PROJECTOR, "projector-2")
CLIENTS = (*GATEWAYS, *PROCESSORS, *PROJECTORS)
"""The programs that connect to the brokers."""
CLUSTER_PROGRAMS = (*(name for name in PROGRAMS if name not in {BROKER, PROJECTOR}), *BROKERS, *PROJECTORS)
CLIENT_LINKS = {f"{program}-{broker}": (program, broker) for program in CLIENTS for broker in BROKERS}
ROUTE_LINKS = {f"{one}-{other}": (one, other) for one in BROKERS for other in BROKERS if one != other}
"""The links by which each broker connects to each other."""
ROUTES, AROUND = "routes", "around"
"""`nats-1-routes` are all links of a broker to the others, `nats-1-around` those of its clients, too."""

PAUSE_SECONDS = (2.0, 12.0)
"""Less and more than an election takes, which begins 4 to 9 s after the last sign of the leader."""
_CUTS = (Mode.CUT, Mode.REFUSE, Mode.BLACKHOLE, Mode.BLACKHOLE)


def _kill(*targets: str) -> Recipe:
    return lambda rng, at: [Fault(at, "kill", rng.choice(targets))]


def _stop(*targets: str) -> Recipe:
    return lambda rng, at: [Fault(at, "stop", rng.choice(targets), rng.uniform(*PAUSE_SECONDS))]


def _cut(*targets: str) -> Recipe:
    return lambda rng, at: [Fault(at, "link", rng.choice(targets), rng.uniform(*PAUSE_SECONDS), rng.choice(_CUTS))]


def _majority_killed(rng: random.Random, at: float) -> list[Fault]:
    """Nothing can be stored until one of them is back."""
    return [Fault(at, "kill", broker) for broker in rng.sample(BROKERS, 2)]


def _around(suffix: str) -> tuple[str, ...]:
    return tuple(f"{broker}-{suffix}" for broker in BROKERS)


BROKER_RECIPES: Mapping[str, tuple[Recipe, int]] = {
    "leader killed": (_kill(LEADER), 3),
    "leader stopped": (_stop(LEADER), 2),
    "leader cut off from the brokers": (_cut(f"{LEADER}-{ROUTES}"), 3),
    "leader cut off from all": (_cut(f"{LEADER}-{AROUND}"), 2),
    "any broker killed": (_kill(*BROKERS), 1),
    "any broker stopped": (_stop(*BROKERS), 1),
    "any broker cut off": (_cut(*_around(ROUTES), *_around(AROUND)), 1),
    "two brokers killed": (_majority_killed, 1),
}
"""The recipes for brokers, with their weights."""

_PROJECTOR_RECIPES: Mapping[str, tuple[Recipe, int]] = {
    "projector killed": (_kill(*PROJECTORS), 1),
    "projector stopped": (_stop(*PROJECTORS), 1),
}
CLUSTER_RECIPES = {**BROKER_RECIPES, **_PROJECTOR_RECIPES}


def cluster_plan(seed: int, seconds: float, focus: Sequence[str] = ()) -> Plan:
    """Faults of brokers and projectors, a few seconds apart, beside those of `plan` for everything else.

    With `focus`, only recipes of these names, one after the other, with time for an election in between.
    """
    rng = random.Random(seed)  # noqa: S311 - wanted: the same plan again for the same seed
    others = plan(seed, seconds)
    if focus:
        # An election takes up to ten seconds.
        faults = _in_turns(rng, seconds, focus, (13.0, 17.0))
    else:
        # Where there is one broker, its faults are drawn there.
        faults = [fault for fault in others.faults if fault.target != BROKER]
        faults += _in_turns(rng, seconds, list(BROKER_RECIPES), (0.5, 3.0))
        faults += _in_turns(rng, seconds, list(_PROJECTOR_RECIPES), (1.0, 8.0))
    return replace(others, faults=tuple(sorted(faults, key=lambda fault: fault.at_seconds)))


def _in_turns(
    rng: random.Random, seconds: float, names: Sequence[str], pause_seconds: tuple[float, float]
) -> list[Fault]:
    """Faults of these recipes, each begun after the end of the one before, and a pause."""
    faults: list[Fault] = []
    bag: list[Recipe] = []
    at_seconds = rng.uniform(0.5, 2.0)
    while at_seconds < seconds - 0.5:
        if not bag:
            bag = [CLUSTER_RECIPES[name][0] for name in names for _ in range(CLUSTER_RECIPES[name][1])]
            rng.shuffle(bag)
        made = [bounded(fault, seconds) for fault in bag.pop()(rng, at_seconds)]
        faults += made
        at_seconds = max(fault.at_seconds + fault.seconds for fault in made) + rng.uniform(*pause_seconds)
    return faults


ROLLING_ORDER = (*BROKERS, *PROJECTORS, *GATEWAYS, *PROCESSORS)
"""The order of docs/how-to/cluster.md."""
BROKER_BACK_SECONDS, PROGRAM_BACK_SECONDS = 9.0, 4.0
"""How long a program may take to be back before the next one ends."""


def rolling_plan(seed: int) -> Plan:
    """Each program is ended and started again, one after the other, as in an update."""
    faults: list[Fault] = []
    at_seconds = 2.0
    for program in ROLLING_ORDER:
        faults.append(Fault(at_seconds, "restart", program))
        at_seconds += BROKER_BACK_SECONDS if program in BROKERS else PROGRAM_BACK_SECONDS
    return Plan(seed, at_seconds, 3.0, 1.0, tuple(faults))
