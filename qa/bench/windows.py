"""The judge's windows at their most difficult: default's delay rises, and the window ends as long ago as the delay is.

    python -m qa.bench.windows --limits

A minute in place of the five of the benchmark's final. Users as there, who sleep a second after each answer. Again and
again default turns from 103 ms to 2 s; then gateway and providers are asked at the same moment for the window that ends
2 s ago, and the answers are compared. With `--limits` each program has the CPU of docker-compose.yml (Linux, root).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import uvloop
import yaml

from qa.bench.cpu_limits import cpu_limits, throttled_share
from qa.bench.report import Figures, publish, quantile
from qa.bench.stages.stack import Stack, running_stack
from qa.chaos.ports import port_block
from qa.load.client import Answer, NoAnswerError, Origin, Pool
from qa.load.provider_records import PROVIDERS, read_summary, read_totals
from qa.load.window import Window

_COMPOSE_FILE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
_SERVICES = {
    "caddy": "caddy",
    "gateway-1": "gateway-1",
    "gateway-2": "gateway-2",
    "processor": "processor",
    "projector": "projector",
    "nats-server": "nats",
}
"""The name of each program in the compose file."""
CONTEST = {
    "GOMAXPROCS": "1",
    "PROCESSOR_CONCURRENCY": "800",
    "PROCESSOR_PATIENCE_SECONDS": "1.5",
    "PROCESSOR_OUTAGE_PATIENCE_SECONDS": "15",
}
"""As in docker-compose.contest.yml."""
TOKEN = ("X-Rinha-Token", "123")
FAST_MS, SLOW_MS, FALLBACK_MS = 103, 2_000, 10
WARM_UP_SECONDS = 6.0
FAST_SECONDS, SLOW_SECONDS = 7.0, 6.0
"""After the slow stage the processor needs one health check, 5 s, to send payments to default again."""
FIRST_SECONDS, BETWEEN_SECONDS = 2.0, 0.2
"""From the rise of the delay to the first question, which comes up to BETWEEN_SECONDS later, and between questions."""
PAUSE_SECONDS = 1.0
ANSWER_SECONDS_MAX = 1.5
"""How long the benchmark's client waits."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A window: how many seconds after the rise it was asked for, what the gateway had too many (below 0: too few)."""

    after_seconds: float
    too_many: int | None
    """None: an answer is missing."""
    answer_ms: float


def compose_cpus() -> dict[str, float]:
    """The CPUs of each program in docker-compose.yml."""
    services = yaml.safe_load(_COMPOSE_FILE.read_text())["services"]
    limits = {program: services[name]["deploy"]["resources"]["limits"] for program, name in _SERVICES.items()}
    return {program: float(one["cpus"]) for program, one in limits.items()}


class Judge:
    """Asks gateway and providers."""

    def __init__(self, stack: Stack) -> None:
        self._gateway = Pool(stack.edge, 1)
        self._providers = {
            name: Pool(Origin("127.0.0.1", stack.edge.port + 5 + number), 1) for number, name in enumerate(PROVIDERS)
        }

    async def set_delays(self, delays_ms: Mapping[str, int]) -> None:
        for name, delay_ms in delays_ms.items():
            pool, body = self._providers[name], json.dumps({"delay": delay_ms}).encode()
            request = pool.origin.request("PUT", "/admin/configurations/delay", body, (TOKEN,))
            if (status := (await pool.ask(request, 10.0)).status) != 200:
                raise RuntimeError(f"{name} answered {status} to a change of its delay")

    async def compare(self, after_seconds: float) -> Compared:
        now, began = datetime.now(UTC), time.perf_counter()
        query = Window(now - timedelta(seconds=15), now - timedelta(seconds=2)).query
        asked = [_asked(self._gateway, f"/payments-summary?{query}")]
        asked += [_asked(pool, f"/admin/payments-summary?{query}") for pool in self._providers.values()]
        try:
            summary, *records = await asyncio.gather(*asked)
        except NoAnswerError:
            return Compared(after_seconds, None, 1e3 * (time.perf_counter() - began))
        answer_ms = 1e3 * (summary.answered_at - summary.sent_at)
        if summary.status != 200:
            return Compared(after_seconds, None, answer_ms)
        said = read_summary(summary.body)
        recorded = [read_totals(one.body) for one in records]
        too_many = [one.count - other.count for one, other in zip((said.default, said.fallback), recorded, strict=True)]
        # Never both: a payment is at one provider.
        worst = max(too_many, key=abs)
        return Compared(after_seconds, worst, answer_ms)

    def close(self) -> None:
        for pool in (self._gateway, *self._providers.values()):
            pool.close()


async def _asked(pool: Pool, target: str) -> Answer:
    return await pool.ask(pool.origin.request("GET", target, headers=(TOKEN,)), ANSWER_SECONDS_MAX)


async def judged(stack: Stack, cycles: int, seed: int) -> list[Compared]:
    """Lets default's delay rise `cycles` times, and compares windows after each."""
    chance, judge, compared = random.Random(seed), Judge(stack), []  # noqa: S311 - to be replayed, no secret
    try:
        await judge.set_delays({"default": FAST_MS, "fallback": FALLBACK_MS})
        await asyncio.sleep(WARM_UP_SECONDS)
        for number in range(cycles):
            if number:
                await judge.set_delays({"default": FAST_MS})
                await asyncio.sleep(FAST_SECONDS)
            await judge.set_delays({"default": SLOW_MS})
            rose = time.perf_counter()
            await asyncio.sleep(FIRST_SECONDS + chance.random() * BETWEEN_SECONDS)
            while (after := time.perf_counter() - rose) < SLOW_SECONDS:
                compared.append(await judge.compare(after))
                await asyncio.sleep(BETWEEN_SECONDS)
    finally:
        judge.close()
    return compared


@asynccontextmanager
async def users(stack: Stack, count: int) -> AsyncIterator[None]:
    """So many users pay meanwhile, from a process of their own. Raises RuntimeError when they end before."""
    command = [sys.executable, "-m", "qa.bench.windows", "--pay", stack.edge.url, "--users", str(count)]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield
        if process.returncode is not None:
            raise RuntimeError(f"the users ended with {process.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def pay(origin: Origin, count: int) -> None:
    """Pays until cancelled."""
    pool = Pool(origin, count)
    try:
        await asyncio.gather(*(_user(pool, PAUSE_SECONDS * number / count) for number in range(count)))
    finally:
        pool.close()


async def _user(pool: Pool, begin_seconds: float) -> None:
    await asyncio.sleep(begin_seconds)
    ids = random.Random()  # noqa: S311 - names, no secrets
    while True:
        name = f"{ids.getrandbits(128):032x}"
        body = f'{{"correlationId":"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}","amount":20.05}}'
        with contextlib.suppress(NoAnswerError):
            await pool.ask(pool.origin.request("POST", "/payments", body.encode()), ANSWER_SECONDS_MAX)
        await asyncio.sleep(PAUSE_SECONDS)


def figures_of(compared: list[Compared]) -> Figures:
    """The figures of a run; a missing answer counts as a window that differs."""
    wrong = [one.too_many for one in compared if one.too_many is not None]
    times_ms = [one.answer_ms for one in compared]
    return {
        "windows": len(compared),
        "unanswered": len(compared) - len(wrong),
        "too many": sum(one > 0 for one in wrong),
        "… at most": max(wrong, default=0),
        "too few": sum(one < 0 for one in wrong),
        "… at worst": min(wrong, default=0),
        "sum of differences": sum(map(abs, wrong)),
        "answer p50 ms": quantile(times_ms, 0.5),
        "p99 ms": quantile(times_ms, 0.99),
    }


async def measure(cycles: int, count: int, seed: int, *, has_limits: bool) -> tuple[Figures, list[Compared]]:
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder, port_block() as first_port:
        async with running_stack(Path(folder), first_port, CONTEST) as stack:
            pids = {name: [one.pid for one in found] for name, found in stack.programs.find().items()}
            with cpu_limits(compose_cpus() if has_limits else {}, pids, f"tollgate-{first_port}") as groups:
                async with users(stack, count):
                    compared = await judged(stack, cycles, seed)
                throttled = {f"{name} throttled": throttled_share(group) for name, group in groups.items()}
    return {**figures_of(compared), **throttled}, compared


@click.command()
@click.option("--cycles", default=4, show_default=True, help="How often default's delay rises; each takes 13 s.")
@click.option("--users", "count", default=590, show_default=True, help="Users, who pay about once a second each.")
@click.option("--seed", default=1, show_default=True, help="Seed of the times of the questions.")
@click.option("--limits", is_flag=True, help="Each program has the CPU of docker-compose.yml.")
@click.option("--verbose", is_flag=True, help="Lists each window.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
@click.option("--pay", "paid", hidden=True, help="Only pay, at this address.")
def main(
    *, cycles: int, count: int, seed: int, limits: bool, verbose: bool, path: Path | None, paid: str | None
) -> None:
    """Compares windows that end at the edge of what a slow provider has charged."""
    if paid is not None:
        with contextlib.suppress(asyncio.CancelledError):
            uvloop.run(pay(Origin.of(paid), count))
        return
    row, compared = uvloop.run(measure(cycles, count, seed, has_limits=limits))
    if verbose:
        for one in compared:
            click.echo(f"{one.after_seconds:6.2f} s after the rise: {one.too_many}, answered in {one.answer_ms:.0f} ms")
    publish(f"windows that end 2 s ago, {count} users", [row], path)


if __name__ == "__main__":
    main()
