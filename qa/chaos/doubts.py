"""`make chaos-doubts`: whether payments are delayed by thousands of doubts at a provider that never answers.

The doubts are written as a processor of an older version leaves them: the requests are unacknowledged in the queue, and
their attempts are in doubt in the log. The provider has charged some of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from qa.chaos.environment import TOKEN, Environment
from qa.chaos.evidence import LogTap
from qa.chaos.faults import Injector
from qa.chaos.history import Logged
from qa.chaos.plan import CHARGES, PROCESSORS
from qa.chaos.ports import port_block
from qa.chaos.proxy import Mode
from qa.load.audit import Audit, Sent, audit
from qa.load.client import Pool
from qa.load.comparison import Comparer
from qa.load.generator import Generator
from qa.load.money import randomly
from tollgate.contract.events import PaymentInDoubt, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.timestamps import MICROSECONDS, now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.processor.charging.attempts import in_doubt
from tollgate.processor.charging.provider_client import attempt_body
from tollgate.runtime.errors import BrokerError

CONNECTIONS = 100
IN_FLIGHT_MAX = 20_000
APPENDS = 64
CHARGED_EVERY = 3
"""The provider has charged one of this many doubts."""
STRAGGLERS_SECONDS = 3.0
"""Time after the last payment of a phase was accepted; a later charge counts as late."""
LATE_MAX = 0.05
"""The share of a phase's payments that may be late: those sent to the provider before its breaker opened."""
ENVIRONMENT = {
    "PROCESSOR_TIMEOUT_SECONDS": "2",
    "PROCESSOR_PATIENCE_SECONDS": "0.5",
}
SWALLOWED = tuple(name for name, (_, provider) in CHARGES.items() if provider == "default")


@dataclass(slots=True)
class Phase:
    """Payments offered at a constant rate, and how fast they were charged."""

    name: str
    accepted: int = 0
    in_time: int = 0
    """Charged by STRAGGLERS_SECONDS after the last of them was accepted."""
    median_seconds: float = 0.0
    """Median time from storing the request to storing the charge, of payments charged in time."""

    @property
    def share(self) -> float:
        return self.in_time / max(self.accepted, 1)


@dataclass(slots=True)
class Report:
    doubts: int = 0
    seeding_seconds: float = 0.0
    acknowledged_seconds: float = 0.0
    """Time from the start of the processors to an empty queue of requests."""
    phases: list[Phase] = field(default_factory=list)
    new_doubts: int = 0
    """Payments of the phases that came into doubt."""
    ended_seconds: float = -1.0
    """Time from the provider's return to the end of the last doubt; below 0 if they did not end."""
    audit: Audit | None = None

    @property
    def clean(self) -> bool:
        return (
            self.audit is not None
            and self.audit.clean
            and self.ended_seconds >= 0
            and all(1 - phase.share <= LATE_MAX for phase in self.phases)
        )


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--doubts", default=12_000, type=click.IntRange(1, 1_000_000))
@click.option("--rate", default=150.0, type=click.FloatRange(1, 10_000), help="New payments a second.")
@click.option("--seconds", default=20.0, type=click.FloatRange(1, 3_600), help="How long they are offered, each time.")
@click.option("--end-seconds", default=180.0, type=click.FloatRange(1, 7_200), help="Within which all doubts must end.")
def main(*, doubts: int, rate: float, seconds: float, end_seconds: float) -> None:
    """Pays beside many doubts at a provider that never answers, also after kill -9, then lets it answer again."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run_doubts(doubts, rate, seconds, end_seconds))
    click.echo(text(report))
    sys.exit(not report.clean)


async def run_doubts(doubts: int, rate_per_second: float, seconds: float, end_seconds_max: float) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="tollgate-chaos-doubts-"))
    report = Report(doubts)
    try:
        with port_block() as first_port:
            async with Environment(folder, first_port, seed=1, environment=ENVIRONMENT) as environment:
                await _Doubts(environment, report).conduct(rate_per_second, seconds, end_seconds_max)
    finally:
        shutil.rmtree(folder)
    return report


class _Doubts:
    def __init__(self, environment: Environment, report: Report) -> None:
        self._environment = environment
        self._report = report
        self._began_at = datetime.now(UTC)
        self._paying = Pool(environment.edge, CONNECTIONS)
        self._asking = Pool(environment.edge, 4)
        self._provider_records = {name: Pool(origin, 8) for name, origin in environment.simulators.items()}
        self._comparer = Comparer(self._asking, self._provider_records, TOKEN)
        self._sent = Sent()

    async def conduct(self, rate_per_second: float, seconds: float, end_seconds_max: float) -> None:
        try:
            async with Broker(self._environment.nats_url_of("processor"), name="processor") as broker:
                await self._conduct(broker, rate_per_second, seconds, end_seconds_max)
            provider_records = await self._comparer.entries()
            self._report.audit = audit(self._sent, provider_records or {}, self._began_at)
        finally:
            for pool in (self._paying, self._asking, *self._provider_records.values()):
                pool.close()

    async def _conduct(self, broker: Broker, rate_per_second: float, seconds: float, end_seconds_max: float) -> None:
        await self._links(Mode.REFUSE)
        await self._phase("without doubts", rate_per_second, seconds)
        for program in PROCESSORS:
            self._environment.signal(program, signal.SIGSTOP)
        await self._seed(broker)
        await self._links(Mode.BLACKHOLE)
        began = time.monotonic()
        for program in PROCESSORS:
            self._environment.signal(program, signal.SIGCONT)
        await self._until(lambda: self._is_acknowledged(broker), end_seconds_max)
        self._report.acknowledged_seconds = time.monotonic() - began
        await self._phase("beside the doubts", rate_per_second, seconds)
        for program in PROCESSORS:
            self._environment.signal(program, signal.SIGKILL)
        await self._phase("after kill -9 of every processor", rate_per_second, seconds)
        await Injector(self._environment).heal()
        began = time.monotonic()
        if await self._until(lambda: self._has_ended(broker), end_seconds_max):
            self._report.ended_seconds = time.monotonic() - began

    async def _links(self, mode: Mode) -> None:
        for name in SWALLOWED:
            await self._environment.links[name].set(mode)

    async def _phase(self, name: str, rate_per_second: float, seconds: float) -> None:
        generator = Generator(self._paying, randomly(len(self._report.phases) + 1), IN_FLIGHT_MAX)
        await generator.run(rate_per_second, seconds)
        await asyncio.sleep(STRAGGLERS_SECONDS)
        self._sent.accepted |= generator.sent.accepted
        self._sent.unknown |= generator.sent.unknown
        async with LogTap(self._environment.nats_url) as tap:
            await tap.catch_up()
        self._report.phases.append(_phase(name, list(generator.sent.accepted), tap.events))
        self._report.new_doubts += _doubted(tap.events, generator.sent.accepted.keys())

    async def _seed(self, broker: Broker) -> None:
        """Accepts the payments, and writes their attempts and doubts to the log."""
        began = time.monotonic()
        generator = Generator(self._paying, randomly(99), IN_FLIGHT_MAX)
        await generator.run(500.0, self._report.doubts / 500.0)
        self._sent.accepted |= generator.sent.accepted
        log, waiting = Log(broker), iter(enumerate(generator.sent.accepted.items()))

        async def write() -> None:
            for number, (payment, cents) in waiting:
                intent = PaymentRouted(payment, cents, 1, "default", now_us(), "seeded")
                await log.append(intent, timeout_seconds=30)
                await log.append(in_doubt(intent, "no answer in time", None), timeout_seconds=30)
                if number % CHARGED_EVERY == 0:
                    origin = self._environment.simulators["default"]
                    await self._provider_records["default"].ask(
                        origin.request("POST", "/payments", attempt_body(intent)), 10.0
                    )

        await asyncio.gather(*(write() for _ in range(APPENDS)))
        self._report.seeding_seconds = time.monotonic() - began

    async def _is_acknowledged(self, broker: Broker) -> bool:
        info = await broker.request("$JS.API.CONSUMER.INFO.PAYMENTS.processor", b"", timeout_seconds=5)
        return int(info["num_pending"]) + int(info["num_ack_pending"]) == 0

    async def _has_ended(self, broker: Broker) -> bool:
        charging = await ReadModel(broker).charging(timeout_seconds=10)
        return charging.pending + charging.routed + charging.in_doubt == 0

    async def _until(self, condition: Callable[[], Awaitable[bool]], seconds_max: float) -> bool:
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            # A busy program may not answer in time.
            with contextlib.suppress(BrokerError, ReadModelUnavailableError):
                if await condition():
                    return True
            await asyncio.sleep(0.25)
        return False


def _phase(name: str, ids: Sequence[str], events: Sequence[Logged]) -> Phase:
    wanted = set(ids)
    requested_us: dict[str, int] = {}
    seconds: list[float] = []
    for logged in events:
        match logged.event:
            case PaymentRequested(correlation_id=payment) if payment in wanted:
                requested_us.setdefault(payment, logged.stored_at_us)
            case PaymentProcessed(correlation_id=payment) if payment in wanted:
                seconds.append((logged.stored_at_us - requested_us[payment]) / MICROSECONDS)
            case _:
                pass
    return Phase(name, len(ids), len(seconds), statistics.median(seconds) if seconds else 0.0)


def _doubted(events: Sequence[Logged], ids: AbstractSet[str]) -> int:
    return len({one.event.correlation_id for one in events if isinstance(one.event, PaymentInDoubt)} & ids)


def text(report: Report) -> str:
    """The report as text."""
    base = report.phases[0].share if report.phases else 0.0
    lines = [
        f"{report.doubts} doubts written in {report.seeding_seconds:.0f} s; their requests were done with "
        f"{report.acknowledged_seconds:.1f} s after the processors went on",
        *(
            f"{phase.name:<34}{phase.accepted} accepted, {phase.in_time} charged in time "
            f"({phase.share:.4f}, ratio {phase.share / base if base else 0:.4f}), median {phase.median_seconds:.3f} s"
            for phase in report.phases
        ),
        f"{'new doubts':<34}{report.new_doubts}",
    ]
    per_second = (report.doubts + report.new_doubts) / report.ended_seconds if report.ended_seconds > 0 else 0.0
    ended = (
        f"in {report.ended_seconds:.1f} s, {per_second:.0f} a second" if report.ended_seconds >= 0 else "NOT in time"
    )
    clean = report.audit is not None and report.audit.clean
    lines += [
        f"{'all doubts ended':<34}{ended}",
        f"{'audit':<34}{'clean: none lost, none charged twice' if clean else f'NOT CLEAN: {report.audit}'}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
