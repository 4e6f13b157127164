"""What the console costs: CPU a payment, questions to the projector and memory, with no page open, one, and ten.

    python -m qa.console.cost --rate 100 --seconds 10 --rounds 4

The numbers of pages take turns in each round, so that what else the machine does falls on all of them. A page is its
stream of events; the browser's own work is not Tollgate's.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from contextlib import AsyncExitStack
from http import HTTPStatus

import aiohttp
import click

from qa.bench.stages.counters import differences, used_by_each
from qa.bench.stages.stack import is_of_the_product
from qa.console.scene import Scene, running_scene
from qa.load.processes import Supervised

PAGES = (0, 1, 10)
SETTLE_SECONDS = 2.0
QUESTIONS = 'tollgate_question_duration_seconds_count{question="%s"}'
_PROJECTOR_METRICS = 11
"""How far its port is from the edge's."""
Figures = dict[str, float]


async def measure(scene: Scene, pages: int, rate: float, seconds: float) -> Figures:
    """One stretch of load with so many open pages."""
    async with aiohttp.ClientSession() as session, AsyncExitStack() as streams:
        reading = [
            asyncio.create_task(
                _read(await streams.enter_async_context(session.get(f"{scene.console.url}/events", timeout=_ENDLESS)))
            )
            for _ in range(pages)
        ]
        await scene.pay(rate, SETTLE_SECONDS)
        programs = Supervised(scene.folder)
        asked = await _questions(session, scene)
        before = used_by_each(programs.find())
        await scene.pay(rate, seconds)
        used = differences(before, used_by_each(programs.find()))
        asked = await _questions(session, scene) - asked
        [console] = programs.find()["console"]
        for one in reading:
            one.cancel()
        payments = rate * seconds
        of_product = {name: use.cpu_seconds for name, use in used.items() if is_of_the_product(name)}
        return {
            "all_ms": 1e3 * sum(of_product.values()) / payments,
            "console_ms": 1e3 * of_product["console"] / payments,
            "console_cpu": of_product["console"] / seconds,
            "projector_ms": 1e3 * of_product["projector"] / payments,
            "questions": asked / seconds,
            "console_mb": console.memory_full_info().pss / 1e6,
        }


_ENDLESS = aiohttp.ClientTimeout(total=None)


async def _read(stream: aiohttp.ClientResponse) -> None:
    async for _ in stream.content:
        pass


async def _questions(session: aiohttp.ClientSession, scene: Scene) -> float:
    """Questions for status and charging that the projector has answered."""
    address = f"http://127.0.0.1:{scene.stack.edge.port + _PROJECTOR_METRICS}/metrics"
    async with session.get(address) as answer:
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{address} answered {answer.status}")
        lines = [line for line in (await answer.text()).splitlines() if not line.startswith("#")]
    counted = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    return counted[QUESTIONS % "status"] + counted[QUESTIONS % "charging"]


async def _run(rate: float, seconds: float, rounds: int, first_port: int) -> dict[int, list[Figures]]:
    found: dict[int, list[Figures]] = defaultdict(list)
    async with running_scene(first_port) as scene:
        await scene.pay(rate, SETTLE_SECONDS)
        for number in range(rounds):
            # Each second round backwards: what grows with the log falls on all alike.
            for pages in PAGES if number % 2 == 0 else PAGES[::-1]:
                found[pages].append(await measure(scene, pages, rate, seconds))
    return found


@click.command()
@click.option("--rate", default=100.0, show_default=True, help="Payments a second.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each stretch.")
@click.option("--rounds", default=4, show_default=True)
@click.option("--first-port", default=27_300, show_default=True, help="The first of twelve free ports.")
def main(rate: float, seconds: float, rounds: int, first_port: int) -> None:
    """Prints the medians over the rounds."""
    found = asyncio.run(_run(rate, seconds, rounds, first_port))
    for pages, figures in found.items():
        middle = {name: statistics.median(one[name] for one in figures) for name in figures[0]}
        click.echo(
            f"{pages:>2} pages: {middle['all_ms']:.2f} ms of CPU a payment,"
            f" {middle['console_ms']:.2f} of it the console's ({middle['console_cpu']:.1%} of a core)"
            f" and {middle['projector_ms']:.2f} the projector's;"
            f" {middle['questions']:.1f} questions/s to the projector; console {middle['console_mb']:.0f} MB"
        )


if __name__ == "__main__":
    main()
