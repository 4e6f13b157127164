"""One run: the limits of the stages, then the whole stack idle, at each rate, and at the highest rate that it holds."""

from __future__ import annotations

import asyncio
import math
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qa.bench.stages import limits
from qa.bench.stages.counters import Used, differences, used_by_each
from qa.bench.stages.limits import Section
from qa.bench.stages.payer import Paid, pay_from_a_process
from qa.bench.stages.stack import Stack, is_of_the_product, running_stack
from qa.chaos.ports import port_block

Run = dict[str, Section]
"""The figures of a run by section."""

SETTLED_SECONDS_MAX = 2.0
"""A rate is held when the last payment is in the summary this long after it was due."""
DRAIN_SECONDS_MAX = 60.0
"""How long the payments of a rate that was not held may take before the next rate."""
SEARCH_FACTOR = 1.25
FAST_P99_MS = 50.0
WARM_UP_RATE, WARM_UP_SECONDS = 100.0, 1.0
IDLE_AFTER_SECONDS = 2.0
"""After the last payment, so that its commit is not taken for idling."""
IDLE = "idle"
HIGHEST, HIGHEST_FAST = "highest held", f"highest held, p99 ≤ {FAST_P99_MS:.0f} ms"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each part takes; a rate is in payments a second."""

    rates: tuple[float, ...]
    handler_rate: float
    limit_seconds: float
    load_seconds: float
    idle_seconds: float
    consumed_messages: int
    search_first: float
    search_steps_max: int


DEFAULT = Plan((50, 200, 400, 800), 400, 2.0, 5.0, 20.0, 20_000, 1_000, 6)
QUICK = Plan((50, 400), 400, 1.0, 2.0, 3.0, 5_000, 800, 2)


async def measure(plan: Plan, say: Callable[[str], None]) -> Run:
    """Makes one run. Raises RuntimeError when a program does not start or fails."""
    run: Run = {}
    for kind in ("uvicorn", "blacksheep"):
        say(f"empty {kind} handler")
        run[f"empty {kind} handler"] = await limits.empty_handler(kind, plan.handler_rate, plan.limit_seconds)
    say("edge before an empty handler")
    run["edge before an empty handler"] = await limits.edge(plan.handler_rate, plan.limit_seconds)
    say("aiohttp client")
    run["aiohttp client"] = await limits.bare_client(plan.limit_seconds)
    for events in (1, 8, 32):
        say(f"broker, {events} events a message")
        run[f"broker, {events} events a message"] = await limits.broker(events, plan.limit_seconds)
    say("bare consumer")
    run["bare consumer"] = await limits.bare_consumer(plan.consumed_messages)
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder, port_block() as first_port:
        async with running_stack(Path(folder), first_port) as stack:
            await _load(stack, WARM_UP_RATE, WARM_UP_SECONDS)
            say("idle")
            run[IDLE] = await _idle(stack, plan.idle_seconds)
            loads: list[Section] = []

            async def load(rate: float) -> Section:
                say(f"{rate:.0f}/s")
                loads.append(await _beside_empty(stack, rate, plan.load_seconds))
                return loads[-1]

            for rate in plan.rates:
                run[f"{rate:.0f}/s"] = await load(rate)
            await search(load, plan.search_first, plan.search_steps_max)
    for name, p99_ms_max in ((HIGHEST_FAST, FAST_P99_MS), (HIGHEST, math.inf)):
        if (best := highest(loads, p99_ms_max)) is not None:
            run[name] = best
    return run


async def search(load: Callable[[float], Awaitable[Section]], first: float, steps_max: int) -> None:
    """Looks for the highest rate that is held, in steps of SEARCH_FACTOR: upwards while held, else downwards."""
    rate, outcomes = first, set[bool]()
    for _ in range(steps_max):
        held = bool((await load(rate))["held"])
        outcomes.add(held)
        if len(outcomes) == 2:
            return
        rate = rate * SEARCH_FACTOR if held else rate / SEARCH_FACTOR


def highest(loads: Sequence[Section], p99_ms_max: float) -> Section | None:
    """The figures of the highest rate that was held with that p99 from the due time; None when there was none."""
    held = [figures for figures in loads if figures["held"] and figures["due_p99_ms"] <= p99_ms_max]
    return max(held, key=lambda figures: figures["rate"], default=None)


def of_programs(used: dict[str, Used], payments: int) -> Section:
    """CPU and wake-ups a payment: of each program, its replicas together, and of the product as a whole."""
    section: Section = {"cpu_ms": 0.0, "wake_ups": 0.0, "providers_cpu_ms": 0.0}
    for name, one in used.items():
        cpu_ms, wake_ups = 1e3 * one.cpu_seconds / payments, one.wake_ups / payments
        if not is_of_the_product(name):
            section["providers_cpu_ms"] += cpu_ms if name.startswith("simulator-") else 0.0
            continue
        program = _without_number(name)
        for figure, value in (("cpu_ms", cpu_ms), ("wake_ups", wake_ups)):
            section[figure] += value
            key = f"{figure} {program}"
            section[key] = section.get(key, 0.0) + value
    return section


async def _idle(stack: Stack, seconds: float) -> Section:
    await asyncio.sleep(IDLE_AFTER_SECONDS)
    before = await _used(stack)
    await asyncio.sleep(seconds)
    used = differences(before, await _used(stack))
    section: Section = {"core_percent": 0.0}
    for name, one in used.items():
        if is_of_the_product(name):
            percent = 100 * one.cpu_seconds / seconds
            section["core_percent"] += percent
            key = f"core_percent {_without_number(name)}"
            section[key] = section.get(key, 0.0) + percent
    return section


async def _beside_empty(stack: Stack, rate: float, seconds: float) -> Section:
    section = await _load(stack, rate, seconds)
    empty = await limits.empty_handler("uvicorn", rate, seconds / 2)
    section["empty_cpu_ms"] = empty["cpu_ms"]
    section["ratio"] = section["cpu_ms"] / max(empty["cpu_ms"], 1e-9)
    return section


async def _load(stack: Stack, rate: float, seconds: float) -> Section:
    settled_before, before = await stack.settled(), await _used(stack)
    paid = await pay_from_a_process(limits.PAYER, stack.edge, rate, seconds, limits.CONNECTIONS)
    if not paid.accepted:
        raise RuntimeError(f"no payment was accepted at {rate:.0f}/s")
    expected = settled_before + paid.accepted
    settled_seconds = await stack.settled_after(expected, paid.due_end, SETTLED_SECONDS_MAX)
    used = differences(before, await _used(stack))
    if settled_seconds is None:
        settled_seconds = await stack.settled_after(expected, paid.due_end, DRAIN_SECONDS_MAX)
        if settled_seconds is None:
            raise RuntimeError(f"{paid.accepted} payments at {rate:.0f}/s are not settled after {DRAIN_SECONDS_MAX} s")
    return {
        "rate": rate,
        "held": float(is_held(paid, settled_seconds)),
        "p50_ms": paid.p50_ms,
        "p99_ms": paid.p99_ms,
        "due_p99_ms": paid.due_p99_ms,
        "settled_s": settled_seconds,
        "generator_cpu_ms": 1e3 * paid.cpu_seconds / paid.accepted,
        **of_programs(used, paid.accepted),
    }


def is_held(paid: Paid, settled_seconds: float) -> bool:
    """Whether everything offered was accepted, and in the summary in time."""
    return paid.accepted == paid.offered and settled_seconds <= SETTLED_SECONDS_MAX


async def _used(stack: Stack) -> dict[str, Used]:
    return await asyncio.to_thread(lambda: used_by_each(stack.programs.find()))


def _without_number(program: str) -> str:
    return re.sub(r"-\d+$", "", program)
