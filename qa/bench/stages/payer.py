"""Sends payments at a constant rate and prints the figures as one line of JSON; a process of its own.

python -m qa.bench.stages.payer http://127.0.0.1:9999 --rate 400 --seconds 5
"""

import asyncio
import json
import time
from dataclasses import asdict, dataclass

import click
import uvloop

from qa.load.client import Origin, Pool
from qa.load.generator import Generator
from qa.load.latency import percentiles
from qa.load.money import constant
from qa.load.processes import own_cpu_seconds

IN_FLIGHT_MAX = 10_000
AMOUNT_CENTS = 1990


@dataclass(frozen=True, slots=True)
class Paid:
    """The figures of one load. p50 and p99 are those of the POST, from its sending to its 202."""

    offered: int
    accepted: int
    p50_ms: float
    p99_ms: float
    due_p99_ms: float
    """From the time at which a payment was due to its 202: with the wait for one of the connections."""
    due_end: float
    """The time.monotonic() second at which the last payment was due; the clock is the machine's."""
    cpu_seconds: float


async def pay(origin: Origin, rate_per_second: float, seconds: float, connections: int) -> Paid:
    pool = Pool(origin, connections)
    generator = Generator(pool, constant(AMOUNT_CENTS), IN_FLIGHT_MAX)
    cpu_before, due_end = own_cpu_seconds(), time.monotonic() + seconds
    try:
        await generator.run(rate_per_second, seconds)
    finally:
        pool.close()
    latency, from_due = percentiles(generator.tally.from_send), percentiles(generator.tally.from_schedule)
    return Paid(
        generator.tally.offered,
        len(generator.sent.accepted),
        latency.p50_ms,
        latency.p99_ms,
        from_due.p99_ms,
        due_end,
        own_cpu_seconds() - cpu_before,
    )


async def pay_from_a_process(command: list[str], origin: Origin, rate: float, seconds: float, connections: int) -> Paid:
    """Runs `command` with this load and reads its figures. Raises RuntimeError when it fails."""
    arguments = [origin.url, "--rate", str(rate), "--seconds", str(seconds), "--connections", str(connections)]
    process = await asyncio.create_subprocess_exec(*command, *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the generator ended with {process.returncode}")
    return Paid(**json.loads(output))


@click.command()
@click.argument("url")
@click.option("--rate", type=float, required=True, help="Payments a second.")
@click.option("--seconds", type=float, required=True, help="How long payments are sent.")
@click.option("--connections", default=200, show_default=True, help="Keep-alive connections.")
def main(url: str, rate: float, seconds: float, connections: int) -> None:
    """Sends payments, and prints the figures."""
    click.echo(json.dumps(asdict(uvloop.run(pay(Origin.of(url), rate, seconds, connections)))))


if __name__ == "__main__":
    main()
