"""What watching costs a payment: metrics, an open console, traces. CPU of the same load, in turns.

    python -m qa.bench.watching --rate 200 --seconds 10 --rounds 3

Three stacks run at the same time, and are paid at one after the other, so that what else the machine does falls on all
alike. `bare` counts nothing and has neither console nor scrapes; `metrics` is what `make run` starts, and its metrics
are read once in each stretch; `pages` is the same with ten open pages of the console; `traces` sends 1 % of the
payments to a collector. A page is its stream of events; the browser's own work is not Tollgate's.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import click
import uvloop
from aiohttp import web

from qa.bench.stages.counters import differences, used_by_each
from qa.bench.stages.payer import pay
from qa.bench.stages.stack import Stack, is_of_the_product, running_stack

UNCOUNTED = Path(__file__).parent / "uncounted"
SERVICES = ("gateway-1", "gateway-2", "processor", "projector")
CONNECTIONS = 20
PAGES = 10
SETTLE_SECONDS = 2.0
WARM_UP_SECONDS = 5.0
_PORTS = 12
_CONSOLE, _METRICS = 7, 8
"""How far these ports are from the edge's."""
PAIRS = (("metrics", "bare"), ("pages", "metrics"), ("traces", "metrics"))
Round = dict[str, "Cost"]
"""By condition."""
_ENDLESS = aiohttp.ClientTimeout(total=None)


@dataclass(frozen=True, slots=True)
class Condition:
    """A stack, and what is done beside paying at it."""

    name: str
    stack: Stack
    pages: int = 0
    is_scraped: bool = True


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds for a payment: of all programs but the providers, and of gateways, processor and projector."""

    all_us: float
    services_us: float


async def measure(condition: Condition, session: aiohttp.ClientSession, rate: float, seconds: float) -> Cost:
    """One stretch of load."""
    stack = condition.stack
    async with AsyncExitStack() as streams:
        page = f"http://127.0.0.1:{stack.edge.port + _CONSOLE}/events"
        reading = [
            asyncio.create_task(_read(await streams.enter_async_context(session.get(page, timeout=_ENDLESS))))
            for _ in range(condition.pages)
        ]
        await pay(stack.edge, rate, SETTLE_SECONDS, CONNECTIONS)
        before = used_by_each(stack.programs.find())
        if condition.is_scraped:
            await _scrape(stack, session)
        paid = await pay(stack.edge, rate, seconds, CONNECTIONS)
        used = differences(before, used_by_each(stack.programs.find()))
        for one in reading:
            one.cancel()
    if paid.accepted < paid.offered:
        raise RuntimeError(f"{paid.offered - paid.accepted} of {paid.offered} payments were refused")
    cpu_us = {name: 1e6 * use.cpu_seconds / paid.accepted for name, use in used.items() if is_of_the_product(name)}
    return Cost(sum(cpu_us.values()), sum(cpu_us[name] for name in SERVICES))


async def _read(stream: aiohttp.ClientResponse) -> None:
    async for _ in stream.content:
        pass


async def _scrape(stack: Stack, session: aiohttp.ClientSession) -> None:
    for number in range(len(SERVICES)):
        async with session.get(f"http://127.0.0.1:{stack.edge.port + _METRICS + number}/metrics") as answer:
            await answer.read()


@asynccontextmanager
async def _collector() -> AsyncIterator[str]:
    """The address of a collector that takes all spans and keeps none."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _conditions(first_port: int) -> AsyncIterator[list[Condition]]:
    async with AsyncExitStack() as running:
        collector = await running.enter_async_context(_collector())
        bare = {"TOLLGATE_CONSOLE": "false", "TOLLGATE_METRICS_PORT": "0", "PYTHONPATH": str(UNCOUNTED)}
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_TRACES_SAMPLER_ARG": "0.01"}
        stacks = []
        for number, settings in enumerate((bare, {}, traces)):
            folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-watching-")))
            started = running_stack(folder, first_port + number * _PORTS, settings)
            stacks.append(await running.enter_async_context(started))
        yield [
            Condition("bare", stacks[0], is_scraped=False),
            Condition("metrics", stacks[1]),
            Condition("pages", stacks[1], pages=PAGES),
            Condition("traces", stacks[2]),
        ]


async def _run(rates: Sequence[float], seconds: float, rounds: int, first_port: int) -> dict[float, list[Round]]:
    found: dict[float, list[Round]] = {}
    async with _conditions(first_port) as conditions, aiohttp.ClientSession() as session:
        for condition in conditions:
            await pay(condition.stack.edge, rates[0], WARM_UP_SECONDS, CONNECTIONS)
        for rate in rates:
            found[rate] = []
            for number in range(rounds):
                # Each second round backwards: what grows with the log falls on all alike.
                order = conditions if number % 2 == 0 else conditions[::-1]
                costs = {one.name: await measure(one, session, rate, seconds) for one in order}
                click.echo("  ".join(f"{one.name} {costs[one.name].all_us:.0f} µs" for one in conditions))
                found[rate].append(costs)
    return found


def ratios(rounds: Sequence[Round], one: str, other: str, part: str) -> list[float]:
    """One condition's CPU for a payment divided by the other's, in each round."""
    return [getattr(costs[one], part) / getattr(costs[other], part) for costs in rounds]


def _report(found: dict[float, list[Round]]) -> list[dict[str, object]]:
    return [
        {
            "rate": rate,
            "compared": f"{one} / {other}",
            "of": part.removesuffix("_us"),
            "cpu_us": [
                round(statistics.median(getattr(costs[name], part) for costs in rounds)) for name in (one, other)
            ],
            "ratio": round(statistics.median(ratios(rounds, one, other, part)), 3),
            "ratios": [round(ratio, 3) for ratio in ratios(rounds, one, other, part)],
        }
        for rate, rounds in found.items()
        for one, other in PAIRS
        for part in ("all_us", "services_us")
    ]


@click.command()
@click.option("--rate", "rates", default=(200.0, 400.0), multiple=True, show_default=True, help="Payments a second.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each stretch.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 50))
@click.option("--first-port", default=27_400, show_default=True, help="The first of 36 free ports.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the figures.")
def main(rates: tuple[float, ...], seconds: float, rounds: int, first_port: int, path: Path | None) -> None:
    """Prints the median ratio of each pair over the rounds."""
    report = _report(uvloop.run(_run(rates, seconds, rounds, first_port)))
    for line in report:
        click.echo("{rate:.0f}/s, {compared}, {of}: {ratio:.3f} (CPU {cpu_us} µs a payment; {ratios})".format_map(line))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
