"""`make chaos-backlog`: memory and losses while payments accumulate because no provider works."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from qa.chaos.clock import us_of
from qa.chaos.customers import whole_window
from qa.chaos.environment import TOKEN, Environment
from qa.chaos.evidence import LogTap
from qa.chaos.faults import Injector
from qa.chaos.plan import CHARGES, SIMULATORS, Fault
from qa.chaos.ports import port_block
from qa.chaos.proxy import Mode
from qa.load.audit import Audit, audit
from qa.load.client import Pool
from qa.load.comparison import Comparer, Comparison
from qa.load.generator import Generator
from qa.load.money import randomly
from qa.load.processes import Supervised, readings
from tollgate.contract.events import PaymentRouted

CONNECTIONS = 200
IN_FLIGHT_MAX = 20_000
SAMPLE_EVERY_SECONDS = 1.0
ROWS_MAX = 20
"""Rows of the memory table, evenly spread over the run."""
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory by program, `at_seconds` after the first payment."""

    at_seconds: float
    phase: str
    rss_bytes: dict[str, int]


@dataclass(slots=True)
class Report:
    accepted: int = 0
    accepting_seconds: float = 0.0
    draining_seconds: float = 0.0
    drained: bool = False
    attempts: int = 0
    charges: int = 0
    last: Comparison | None = None
    audit: Audit | None = None
    samples: list[Sample] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return self.drained and self.audit is not None and self.audit.clean


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--payments", default=100_000, type=click.IntRange(1, 5_000_000))
@click.option("--rate", default=550.0, type=click.FloatRange(1, 10_000), help="Payments a second.")
@click.option(
    "--down",
    default="failing",
    type=click.Choice(["failing", "refused"]),
    help="What the providers do meanwhile: answer 500, or refuse connections.",
)
@click.option(
    "--drain-seconds", default=600.0, type=click.FloatRange(1, 7_200), help="Time in which all must be charged."
)
def main(*, payments: int, rate: float, down: str, drain_seconds: float) -> None:
    """Accepts payments while no provider works, then lets both work again."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run_backlog(payments, rate, down, drain_seconds))
    click.echo(text(report))
    sys.exit(not report.clean)


async def run_backlog(payments: int, rate_per_second: float, down: str, drain_seconds_max: float) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="tollgate-chaos-backlog-"))
    report = Report()
    try:
        with port_block() as first_port:
            async with Environment(folder, first_port, seed=1, environment={}) as environment:
                await _Backlog(environment, report).conduct(payments, rate_per_second, down, drain_seconds_max)
    finally:
        shutil.rmtree(folder)
    return report


class _Backlog:
    def __init__(self, environment: Environment, report: Report) -> None:
        self._environment = environment
        self._report = report
        self._phase = "down"
        self._began = time.monotonic()
        self._began_at = datetime.now(UTC)
        self._paying = Pool(environment.edge, CONNECTIONS)
        self._asking = Pool(environment.edge, 4)
        self._provider_records = {name: Pool(origin, 2) for name, origin in environment.simulators.items()}
        self._comparer = Comparer(self._asking, self._provider_records, TOKEN)
        self._injector = Injector(environment)

    async def conduct(self, payments: int, rate_per_second: float, down: str, drain_seconds_max: float) -> None:
        sampling = asyncio.ensure_future(self._sample())
        seconds = payments / rate_per_second
        try:
            await self._injector.run(_outage(down, seconds))
            generator = Generator(self._paying, randomly(1), IN_FLIGHT_MAX)
            await generator.run(rate_per_second, seconds)
            self._report.accepted = len(generator.sent.accepted)
            self._report.accepting_seconds = time.monotonic() - self._began
            await self._injector.heal()
            self._phase = "drain"
            await self._drain(drain_seconds_max)
            sampling.cancel()
            provider_records = await self._comparer.entries()
            self._report.audit = audit(generator.sent, provider_records or {}, self._began_at)
            self._report.charges = sum(len(entries) for entries in (provider_records or {}).values())
            async with LogTap(self._environment.nats_url) as tap:
                await tap.catch_up()
                self._report.attempts = sum(isinstance(one.event, PaymentRouted) for one in tap.events)
        finally:
            sampling.cancel()
            for pool in (self._paying, self._asking, *self._provider_records.values()):
                pool.close()

    async def _drain(self, seconds_max: float) -> None:
        """Waits until the summary holds everything, is settled, and equals the provider records."""
        began = time.monotonic()
        while not self._report.drained and time.monotonic() - began < seconds_max:
            compared = await self._comparer.compare(whole_window(us_of(self._began_at)))
            counted = compared.product.total.count if compared.product else -1
            self._report.last = compared
            self._report.drained = compared.equal and not compared.unsettled and counted >= self._report.accepted
            self._report.draining_seconds = time.monotonic() - began
            await asyncio.sleep(0.25)

    async def _sample(self) -> None:
        finder = Supervised(self._environment.folder)
        while True:
            rss: dict[str, int] = {}
            for reading in await asyncio.to_thread(lambda: readings(finder.find(), with_pss=False)):
                rss[reading.program] = rss.get(reading.program, 0) + reading.rss_bytes
            self._report.samples.append(Sample(time.monotonic() - self._began, self._phase, rss))
            await asyncio.sleep(SAMPLE_EVERY_SECONDS)


def _outage(down: str, seconds: float) -> tuple[Fault, ...]:
    """The fault of both providers, until it is healed."""
    long_seconds = seconds + 3_600
    if down == "failing":
        return tuple(Fault(0.0, "processor", name, long_seconds, mood={"failing": True}) for name in SIMULATORS)
    return tuple(Fault(0.0, "link", link, long_seconds, Mode.REFUSE) for link in CHARGES)


def text(report: Report) -> str:
    """The report as text."""
    found, last = report.audit, report.last
    wasted = report.attempts - report.charges
    per_second = f", {report.charges / report.draining_seconds:.0f} charges a second" if report.drained else ""
    is_clean = found is not None and found.clean
    rows = {
        "accepted": f"{report.accepted} payments in {report.accepting_seconds:.1f} s, while nothing could be charged",
        "drained": f"{'in' if report.drained else 'NOT in'} {report.draining_seconds:.1f} s{per_second}",
        "calls wasted": f"{wasted} attempts that did not charge, {wasted / max(report.charges, 1):.3f} a payment",
        "summary": str(last.product if last else None),
        "books": str(last.provider_records if last else None),
        "audit": "clean: none lost, none charged twice" if is_clean else f"NOT CLEAN: {found}",
    }
    return "\n".join([*_memory_table(report.samples), "", *(f"{name:<14}{value}" for name, value in rows.items())])


def _memory_table(samples: Sequence[Sample]) -> list[str]:
    """Resident megabytes of each program over time."""
    names = sorted({name for sample in samples for name in sample.rss_bytes})
    step = max(1, -(-len(samples) // ROWS_MAX))
    shown = [*samples[::step], *samples[-1:]]
    lines = ["resident memory, MB", f"{'s':>7}  {'':5}  " + "  ".join(names)]
    for sample in shown:
        cells = (f"{sample.rss_bytes.get(name, 0) / _MB:>{len(name)}.0f}" for name in names)
        lines.append(f"{sample.at_seconds:>7.0f}  {sample.phase:5}  {'  '.join(cells)}")
    return lines


if __name__ == "__main__":
    main()
