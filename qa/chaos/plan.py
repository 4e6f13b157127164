"""The plan of a run: faults and their times, drawn from a seed. Pure: the same seed gives the same plan."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from qa.chaos.proxy import Mode
from tollgate.messaging.durable_consumer import ACK_WAIT_SECONDS

BROKER = "nats-server"
GATEWAYS = ("gateway-1", "gateway-2")
PROCESSORS = ("processor", "processor-2")
PROJECTOR = "projector"
EDGE = "caddy"
SIMULATORS = ("simulator-default", "simulator-fallback")
PROGRAMS = (EDGE, BROKER, *GATEWAYS, *PROCESSORS, PROJECTOR, *SIMULATORS)

CHARGES = {
    f"{processor}-{simulator}": (processor, simulator)
    for processor in PROCESSORS
    for simulator in ("default", "fallback")
}
"""The links by which a processor charges."""
LOGS = {f"{name}-{BROKER}": name for name in (*GATEWAYS, *PROCESSORS, PROJECTOR)}
"""The links to the broker."""
EDGES = {f"{EDGE}-{name}": name for name in GATEWAYS}
LINKS = (*EDGES, *LOGS, *CHARGES)

DISKS = {"nats": BROKER, PROJECTOR: PROJECTOR}
"""The program that writes to each disk, by folder in DATA_DIR."""

CLOCKS = (*GATEWAYS, *PROCESSORS, PROJECTOR)
"""The programs whose wall clock can be set. The broker is written in Go, which reads the time without libc."""

Contract = Literal["contest", "strict"]
Kind = Literal["kill", "restart", "stop", "link", "processor", "disk", "clock"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. `target` is a program, link, simulator, disk or clock; it lasts `seconds` and is then healed."""

    at_seconds: float
    kind: Kind
    target: str
    seconds: float = 0.0
    mode: Mode = Mode.PASS
    """For a link."""
    mood: Mapping[str, float | bool] = field(default_factory=dict)
    """For a simulator: `delay_ms`, `failing`, `closed`, and the names of its /admin/faults."""
    offset_seconds: float = 0.0
    """For a clock: how far it is ahead."""

    def __str__(self) -> str:
        match self.kind:
            case "kill":
                what = f"SIGKILL {self.target}"
            case "restart":
                what = f"SIGTERM {self.target}"
            case "stop":
                what = f"SIGSTOP {self.target}"
            case "link":
                what = f"{self.mode.value} {self.target}"
            case "processor":
                what = f"{self.target} {', '.join(f'{name}={value}' for name, value in self.mood.items())}"
            case "disk":
                what = f"disk full {self.target}"
            case "clock":
                what = f"clock of {self.target} {self.offset_seconds:+g} s"
        return f"{self.at_seconds:5.1f} s  {what}" + (f", {self.seconds:.1f} s" if self.seconds else "")


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    seconds: float
    processor_timeout_seconds: float
    """How long the services wait for an answer; short, so that doubts occur."""
    patience_seconds: float
    """How long a payment waits for the cheap provider; short, so that the expensive one is used."""
    faults: tuple[Fault, ...]
    contract: Contract = "contest"
    """The provider contract that the services use for both providers."""
    traits: Mapping[str, float] = field(default_factory=dict)
    """Names of the simulators' /admin/faults that are in force all the time."""


Recipe = Callable[[random.Random, float], Sequence[Fault]]
"""Draws the faults of one situation, from the given second on."""

FEW_RECIPES = 6
STRICT_EVERY = 3
"""One seed in this many has both providers under the strict contract, with lagging lookups."""
HEALTH_503_RATIO = 0.7
LAG_SECONDS = 4.0
"""Longer than the first pause of a doubt, so that some lookups come too early."""


def plan(seed: int, seconds: float, focus: Sequence[str] = ()) -> Plan:
    """Faults for `seconds`, the first half a second from the start, each healed by the end.

    An odd seed draws from all recipes, an even one from a few: some situations arise only if left undisturbed.
    With `focus`, only the recipes of these names are drawn, one after the other.
    """
    rng = random.Random(seed)  # noqa: S311 - wanted: the same plan again for the same seed
    timeout_seconds, patience_seconds = rng.choice((0.7, 1.5, 3.0)), rng.choice((0.1, 0.1, 1.0))
    names = focus or (list(RECIPES) if seed % 2 else rng.sample(list(RECIPES), FEW_RECIPES))
    faults: list[Fault] = []
    bag: list[Recipe] = []
    at_seconds = rng.uniform(0.3, 0.8)
    while at_seconds < seconds - 0.5:
        if not bag:
            # Each recipe is drawn as often as its weight before the next round.
            bag = [RECIPES[name][0] for name in names for _ in range(RECIPES[name][1])]
            rng.shuffle(bag)
        drawn = [bounded(fault, seconds) for fault in bag.pop()(rng, at_seconds) if fault.at_seconds < seconds]
        faults += drawn
        at_seconds += rng.uniform(0.15, 0.85)
        if focus:
            at_seconds = max(at_seconds, *(fault.at_seconds + fault.seconds + 0.5 for fault in drawn))
    faults.sort(key=lambda fault: fault.at_seconds)
    strict = not focus and seed % STRICT_EVERY == 0
    contract: Contract = "strict" if strict else "contest"
    return Plan(seed, seconds, timeout_seconds, patience_seconds, tuple(faults), contract, _traits(strict=strict))


def _traits(*, strict: bool) -> Mapping[str, float]:
    """The faults of both providers that last for the whole run.

    Under the benchmark's contract, a 500 and then a lookup's 404 in the provider's own form prove that nothing was
    charged. A lagging replica gives the same answer after a charge, and the two cannot be distinguished. So lookups lag
    only under the contract by which a 404 proves nothing.
    """
    return {"health_503_ratio": HEALTH_503_RATIO, "lookup_lag_seconds": LAG_SECONDS if strict else 0.0}


def disk_plan(seed: int, seconds: float) -> Plan:
    """The disks of the broker and of the read model are filled, one after the other.

    nats-server does not write again after a failed write, even with free space: it is killed once there is space, as an
    operator would restart it. The projector is killed while its disk is full.
    """
    rng = random.Random(seed)  # noqa: S311 - wanted, as above
    step_seconds = seconds / 8
    broker_at = step_seconds * (0.5 + rng.random() / 2)
    faults = [
        Fault(broker_at, "disk", "nats", step_seconds * 2),
        Fault(broker_at + step_seconds * 2 + 1.0, "kill", BROKER),
        Fault(step_seconds * (4 + rng.random()), "disk", PROJECTOR, step_seconds * 2),
        Fault(step_seconds * (5.2 + rng.random() / 2), "kill", PROJECTOR),
    ]
    return Plan(seed, seconds, 1.5, 0.1, tuple(faults))


def clock_plan(seed: int, seconds: float) -> Plan:
    """The faults of `plan`, while clocks are set: by less than the bounds compared with them, and by more."""
    rng = random.Random(seed)  # noqa: S311 - wanted, as above
    others = plan(seed, seconds)
    steps: list[Fault] = []
    at_seconds = rng.uniform(0.2, 0.6)
    while at_seconds < seconds - 0.5:
        ahead = rng.choice((0.4, 0.9, 1.5, 5.0, 30.0, 3_600.0)) * rng.choice((-1, 1))
        step = Fault(at_seconds, "clock", rng.choice(CLOCKS), rng.uniform(0.3, 5.0), offset_seconds=ahead)
        steps.append(bounded(step, seconds))
        at_seconds += rng.uniform(0.2, 1.0)
    return replace(others, faults=tuple(sorted((*others.faults, *steps), key=lambda fault: fault.at_seconds)))


def bounded(fault: Fault, seconds: float) -> Fault:
    return replace(fault, seconds=min(fault.seconds, max(seconds - fault.at_seconds, 0.0)))


def _kill(*programs: str) -> Recipe:
    return lambda rng, at: [Fault(at, "kill", rng.choice(programs))]


def _stop(*programs: str) -> Recipe:
    return lambda rng, at: [Fault(at, "stop", rng.choice(programs), rng.choice((0.3, 1.0, 2.0, 3.5, 5.0)))]


def _cut(links: Sequence[str], *modes: Mode) -> Recipe:
    def recipe(rng: random.Random, at: float) -> list[Fault]:
        return [Fault(at, "link", rng.choice(links), rng.uniform(0.2, 4.5), rng.choice(modes))]

    return recipe


def _forbidden(rng: random.Random, at: float) -> list[Fault]:
    """An intermediary between processor and provider refuses; mostly at default, which gets most payments."""
    link = f"{rng.choice(PROCESSORS)}-{rng.choice(('default', 'default', 'default', 'fallback'))}"
    return [Fault(at, "link", link, rng.uniform(0.3, 1.2), Mode.FORBID)]


def _impatient_proxy(rng: random.Random, at: float) -> list[Fault]:
    """An intermediary answers 504 while the provider still works, and then charges."""
    seconds = rng.uniform(0.8, 1.8)
    return [
        *(Fault(at, "link", f"{processor}-default", seconds, Mode.GATEWAY_TIMEOUT) for processor in PROCESSORS),
        Fault(at, "processor", SIMULATORS[0], seconds + 0.5, mood={"delay_ms": rng.choice((0, 400, 800))}),
    ]


def _mood(draw: Callable[[random.Random], Mapping[str, float | bool]], *simulators: str) -> Recipe:
    def recipe(rng: random.Random, at: float) -> list[Fault]:
        return [Fault(at, "processor", rng.choice(simulators or SIMULATORS), rng.uniform(0.6, 3.0), mood=draw(rng))]

    return recipe


def _tricky(rng: random.Random) -> Mapping[str, float | bool]:
    """Answers that prove nothing."""
    return {
        "lost_answer_ratio": rng.choice((0.0, 0.15)),
        "error_after_charge_ratio": rng.choice((0.1, 0.3)),
        "garbage_ratio": rng.choice((0.0, 0.15)),
        "failure_ratio": rng.choice((0.0, 0.3)),
        "refused_ratio": rng.choice((0.0, 0.2)),
        "close_ratio": rng.choice((0.0, 0.3)),
        "jitter_ms": rng.choice((0.0, 200.0)),
    }


def _lying(rng: random.Random, at: float) -> list[Fault]:
    """Every charge is made, and no answer shows it: soon the breaker opens, and payments go to the fallback."""
    mood: Mapping[str, float] = rng.choice(
        (
            {"error_after_charge_ratio": 1.0},
            {"lost_answer_ratio": 1.0},
            {"garbage_ratio": 1.0},
            {"error_after_charge_ratio": 0.6, "failure_ratio": 0.3, "jitter_ms": 300.0},
        )
    )
    return [Fault(at, "processor", rng.choice((SIMULATORS[0], *SIMULATORS)), rng.uniform(0.4, 1.5), mood=mood)]


def _read_again(rng: random.Random, at: float) -> list[Fault]:
    """The projector is killed while old payments are open and younger ones have ended: it reads those again."""
    return [
        Fault(at, "processor", SIMULATORS[0], 1.5, mood={"lost_answer_ratio": 0.4, "jitter_ms": 100.0}),
        Fault(at + rng.uniform(1.2, 2.0), "kill", PROJECTOR),
    ]


def _in_between(draw: Callable[[random.Random], Mapping[str, float | bool]]) -> Recipe:
    """An intermediary answers in a provider's place; mostly at default, which gets most payments."""

    def recipe(rng: random.Random, at: float) -> list[Fault]:
        simulator = rng.choice((SIMULATORS[0], SIMULATORS[0], *SIMULATORS))
        return [Fault(at, "processor", simulator, rng.uniform(0.6, 2.0), mood=draw(rng))]

    return recipe


def _proxy_gives_up(rng: random.Random) -> Mapping[str, float | bool]:
    """502, 503, 504 or 52x at once; the charge is made later."""
    return {"proxy_error_ratio": rng.choice((0.3, 1.0)), "delay_ms": rng.choice((0, 400, 800, 2_000))}


def _no_route(rng: random.Random) -> Mapping[str, float | bool]:
    """404 of an ingress, also for lookups of payments that were charged."""
    return rng.choice(
        (
            {"proxy_no_route_ratio": 1.0, "lookup_no_route_ratio": 1.0},
            {"proxy_no_route_ratio": 0.4},
            {"lookup_no_route_ratio": 1.0, "error_after_charge_ratio": 0.5},
        )
    )


def _lookups_refused(rng: random.Random) -> Mapping[str, float | bool]:
    """Doubts that cannot be looked up, beside payments that are answered."""
    return {"lookup_refused_ratio": 1.0, "lost_answer_ratio": rng.choice((0.1, 0.3))}


def _slow(rng: random.Random) -> Mapping[str, float | bool]:
    return {"delay_ms": rng.choice((300, 1_000, 2_500, 5_000, 15_000))}


def _failing_default(rng: random.Random, at: float) -> list[Fault]:
    """Long enough for a health poll, which happens every five seconds."""
    return [Fault(at, "processor", SIMULATORS[0], rng.uniform(2.0, 6.0), mood={"failing": True})]


def _both_down(rng: random.Random, at: float) -> list[Fault]:
    """Nothing can be charged: payments wait in the log."""
    seconds = rng.uniform(1.0, 2.5)
    mood = rng.choice(({"failing": True}, {"closed": True}))
    return [Fault(at, "processor", simulator, seconds, mood=mood) for simulator in SIMULATORS]


def _at_the_limit(rng: random.Random, at: float) -> list[Fault]:
    """One provider answers at about the services' timeout: some answers arrive after it."""
    return [
        Fault(at, "processor", SIMULATORS[0], rng.uniform(1.0, 2.5), mood={"delay_ms": rng.choice((700, 1_500, 3_000))})
    ]


GATHER_SECONDS = 0.7
"""How long requests gather in the gateways."""
EMPTY_SECONDS = 0.3
"""After so long no request waits in the queue, and each replica's pull is open."""


def _gathered(at: float) -> list[Fault]:
    """Requests gather in the gateways, which do not get the broker's answers, and are then stored in large groups.

    A replica that is cut off gets one more delivery at most, if its pull is open then (docs/decisions/0052). Cut off
    while requests gather, it gets a delivery of many payments.
    """
    return [Fault(at, "link", f"{gateway}-{BROKER}", GATHER_SECONDS, Mode.DEAF) for gateway in GATEWAYS]


def _overtaken(rng: random.Random, at: float) -> list[Fault]:
    """A replica is cut off or stopped while it holds a delivery of many payments, until that went to the other one.

    The other replica cannot reach the default, and the fallback is slow by then: it is still charging there when the
    first one continues, which can reach the default.
    """
    replica, other = rng.sample(PROCESSORS, 2)
    overtaken_at = at + GATHER_SECONDS + ACK_WAIT_SECONDS
    away_at, back_at = at + EMPTY_SECONDS, overtaken_at + rng.uniform(0.15, 0.5)
    away = rng.choice(
        (
            Fault(away_at, "link", f"{replica}-{BROKER}", mode=Mode.MUTE),
            Fault(away_at, "link", f"{replica}-{BROKER}", mode=Mode.BLACKHOLE),
            Fault(away_at, "stop", replica),
        )
    )
    unreachable_at = at + 1.0
    return [
        *_gathered(at),
        replace(away, seconds=back_at - away_at),
        Fault(unreachable_at, "link", f"{other}-default", back_at + 0.5 - unreachable_at, Mode.REFUSE),
        # Not earlier: calls that time out would open its circuit before the delivery comes.
        Fault(overtaken_at - 0.4, "processor", SIMULATORS[1], 1.4, mood={"delay_ms": 1_000}),
    ]


def _belated(rng: random.Random, at: float) -> list[Fault]:
    """One replica's messages are stalled, but too briefly for the other to get its deliveries."""
    link = f"{rng.choice(PROCESSORS)}-{BROKER}"
    return [Fault(at, "link", link, rng.uniform(1.8, 2.8), rng.choice((Mode.MUTE, Mode.BLACKHOLE)))]


def _alone_and_unheard(rng: random.Random, at: float) -> list[Fault]:
    """The messages of the only running replica, which holds many payments, are stalled for longer than it waits."""
    unheard, stopped = rng.sample(PROCESSORS, 2)
    seconds = rng.uniform(5.6, 6.6)
    return [
        Fault(at, "stop", stopped, seconds + 1.0),
        *_gathered(at),
        Fault(at + EMPTY_SECONDS, "link", f"{unheard}-{BROKER}", seconds, Mode.MUTE),
    ]


def _gone_with_its_promises(rng: random.Random, at: float) -> list[Fault]:
    """The broker does not answer, and the gateways that wait for it are killed."""
    return [
        Fault(at, "stop", BROKER, rng.uniform(0.8, 1.5)),
        *(Fault(at + rng.uniform(0.3, 0.7), "kill", gateway) for gateway in GATEWAYS),
    ]


def _killed_in_the_act(rng: random.Random, at: float) -> list[Fault]:
    """A replica is killed while it waits for many answers of providers."""
    return [
        *(Fault(at, "processor", simulator, 1.5, mood={"delay_ms": 600}) for simulator in SIMULATORS),
        Fault(at + rng.uniform(0.6, 1.2), "kill", rng.choice(PROCESSORS)),
    ]


_HTTP = (Mode.CUT, Mode.REFUSE, Mode.BLACKHOLE, Mode.DEAF, Mode.SLOW)
RECIPES: Mapping[str, tuple[Recipe, int]] = {
    "edge killed": (_kill(EDGE), 1),
    "broker killed": (_kill(BROKER), 2),
    "gateway killed": (_kill(*GATEWAYS), 1),
    "processor killed": (_kill(*PROCESSORS), 2),
    "payment processor killed": (_kill(*SIMULATORS), 1),
    "broker stopped": (_stop(BROKER), 1),
    "edge or gateway stopped": (_stop(*GATEWAYS, EDGE), 1),
    "processor stopped": (_stop(*PROCESSORS), 2),
    "projector stopped": (_stop(PROJECTOR), 1),
    "payment processor stopped": (_stop(*SIMULATORS), 1),
    "broker cut off": (_cut(tuple(LOGS), Mode.CUT, Mode.REFUSE, Mode.BLACKHOLE, Mode.SLOW), 2),
    "broker cut off one way": (_cut(tuple(LOGS), Mode.MUTE, Mode.DEAF), 2),
    "payment processor cut off": (_cut(tuple(CHARGES), *_HTTP), 2),
    "gateway cut off": (_cut(tuple(EDGES), *_HTTP), 1),
    "impatient proxy": (_impatient_proxy, 2),
    "forbidden": (_forbidden, 2),
    "proxy gives up": (_in_between(_proxy_gives_up), 3),
    "no route": (_in_between(_no_route), 3),
    "expired token": (_in_between(lambda rng: {"proxy_expired_token_ratio": rng.choice((0.5, 1.0))}), 2),
    "proxy refuses": (_in_between(lambda rng: {"proxy_refusal_ratio": rng.choice((0.3, 1.0))}), 2),
    "page for people": (_in_between(lambda rng: {"proxy_page_ratio": rng.choice((0.3, 1.0))}), 2),
    "lookups refused": (_in_between(_lookups_refused), 2),
    "refused for good": (_in_between(lambda _: {"own_refusal_ratio": 0.3}), 2),
    "tricky answers": (_mood(_tricky), 2),
    "lying answers": (_lying, 3),
    "slow payment processor": (_mood(_slow), 2),
    "failing default": (_failing_default, 2),
    "payment processor closed": (_mood(lambda _: {"closed": True}), 1),
    "both down": (_both_down, 1),
    "at the limit": (_at_the_limit, 2),
    "overtaken": (_overtaken, 4),
    "belated": (_belated, 2),
    "alone and unheard": (_alone_and_unheard, 1),
    "gone with its promises": (_gone_with_its_promises, 1),
    "killed in the act": (_killed_in_the_act, 1),
    "read again": (_read_again, 2),
}
"""The recipes, with their weights."""
