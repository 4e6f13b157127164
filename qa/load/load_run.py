"""One load run from start to end: load, checks and kills together, then the drain, then the audit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from qa.load.audit import Sent, audit, totals_faults
from qa.load.client import NoAnswerError, Origin, Pool
from qa.load.comparison import Comparer, Comparison
from qa.load.generator import Generator
from qa.load.kills import RECOVERY_SECONDS_MAX, Kill, PlannedKill, Poll, recovered_after_seconds
from qa.load.processes import Programs, Sampler, kill, own_cpu_seconds
from qa.load.provider_records import PROVIDERS, UnreadableError
from qa.load.result import Check, Drain, Offered, Result
from qa.load.window import Window, check_window

CHECK_EVERY_SECONDS = 10.0
POLL_EVERY_SECONDS = 0.25
POLL_ANSWER_SECONDS_MAX = 2.0
# Polled beyond the allowed time, so that a slow recovery has a figure, too.
RECOVERY_WATCH_SECONDS_MAX = 60.0
ASKING_CONNECTIONS = 4
# The last stamp may be ahead by the difference of the machines' clocks.
CLOCK_SLACK = timedelta(minutes=1)


class NotReadyError(Exception):
    """The gateway or a provider cannot be reached, so the run cannot begin."""


@dataclass(frozen=True, slots=True)
class Settings:
    product: Origin
    providers: dict[str, Origin]
    token: str
    rate_per_second: float
    seconds: float
    connections: int
    in_flight_max: int
    amounts: str
    draw_cents: Callable[[], int]
    drain_seconds_max: float
    purge: bool
    programs: Callable[[], Programs] | None
    """Makes a finder for each caller, since a finder has state."""
    kills: list[PlannedKill]


async def conduct(settings: Settings) -> Result:
    """Makes the run. Raises NotReadyError when it cannot begin."""
    paying = Pool(settings.product, settings.connections)
    asking = Pool(settings.product, ASKING_CONNECTIONS)
    providers = {name: Pool(settings.providers[name], ASKING_CONNECTIONS) for name in PROVIDERS}
    try:
        comparer = Comparer(asking, providers, settings.token)
        await _make_ready(comparer, purge=settings.purge)
        generator = Generator(paying, settings.draw_cents, settings.in_flight_max)
        return await _LoadRun(settings, comparer, generator).run()
    finally:
        for pool in (paying, asking, *providers.values()):
            pool.close()


async def _make_ready(comparer: Comparer, *, purge: bool) -> None:
    try:
        if purge:
            await comparer.purge()
    except NoAnswerError as fault:
        raise NotReadyError(f"cannot purge: {fault}") from fault
    first = await comparer.compare(check_window(datetime.now(UTC)))
    if first.trouble:
        raise NotReadyError(first.trouble)


class _LoadRun:
    def __init__(self, settings: Settings, comparer: Comparer, generator: Generator) -> None:
        self._settings = settings
        self._comparer = comparer
        self._generator = generator
        self._began_at = datetime.now(UTC)
        self._began = time.perf_counter()
        self._checks: list[Check] = []
        self._kills: list[Kill] = []
        self._polls: list[Poll] = []

    async def run(self) -> Result:
        settings, generator = self._settings, self._generator
        sampler = Sampler(settings.programs()) if settings.programs else None
        if sampler:
            sampler.start()
        try:
            self._began_at, self._began = datetime.now(UTC), time.perf_counter()
            cpu_before = own_cpu_seconds()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._check())
                group.create_task(self._kill())
                await generator.run(settings.rate_per_second, settings.seconds)
            own_cpu = own_cpu_seconds() - cpu_before
            drain = await self._drain()
        finally:
            if sampler:
                await asyncio.to_thread(sampler.stop)
        try:
            provider_records = await self._comparer.entries()
            skipped = "" if provider_records is not None else "these providers have no list of payments"
        except (NoAnswerError, UnreadableError) as fault:
            provider_records, skipped = None, f"no list of payments: {fault}"
        return Result(
            offered=Offered(
                settings.rate_per_second,
                settings.seconds,
                settings.connections,
                settings.amounts,
                self._began_at.isoformat(),
            ),
            tally=generator.tally,
            sent=generator.sent,
            checks=self._checks,
            kills=self._kills,
            polls=self._polls,
            drain=drain,
            totals_faults=_totals_faults(generator.sent, drain.last),
            audit=audit(generator.sent, provider_records, self._began_at) if provider_records is not None else None,
            audit_skipped=skipped,
            usage=sampler.meter.usage() if sampler else {},
            sampled_seconds=sampler.seconds if sampler else 0.0,
            generator_cpu_seconds=own_cpu,
        )

    async def _check(self) -> None:
        """The benchmark's check: every ten seconds both sides are queried for the same window."""
        for number in range(1, int(self._settings.seconds / CHECK_EVERY_SECONDS) + 1):
            await self._until(number * CHECK_EVERY_SECONDS)
            compared = await self._comparer.compare(check_window(datetime.now(UTC)))
            took_seconds = compared.answered_at - compared.asked_at
            self._checks.append(Check(compared.asked_at - self._began, took_seconds, compared))

    async def _kill(self) -> None:
        if not self._settings.kills or not self._settings.programs:
            return
        finder = self._settings.programs()
        for planned in self._settings.kills:
            await self._until(planned.at_seconds)
            found = await asyncio.to_thread(finder.find)
            pids = kill(found.get(planned.program, ()))
            self._kills.append(Kill(planned.program, time.perf_counter() - self._began, pids))
        await self._watch_recovery()

    async def _watch_recovery(self) -> None:
        """Compares the window before the last kill until both sides agree, and continue to agree."""
        killed = time.perf_counter()
        window = Window(self._began_at, datetime.now(UTC))
        while True:
            asked = time.perf_counter()
            compared = await self._comparer.compare(window, POLL_ANSWER_SECONDS_MAX)
            after_seconds = compared.answered_at - killed
            self._polls.append(Poll(after_seconds, compared.equal))
            recovered = recovered_after_seconds(self._polls)
            if after_seconds > RECOVERY_WATCH_SECONDS_MAX:
                return
            if after_seconds > RECOVERY_SECONDS_MAX and recovered is not None:
                return
            await asyncio.sleep(max(0.0, asked + POLL_EVERY_SECONDS - time.perf_counter()))

    async def _drain(self) -> Drain:
        """Waits until the summary holds everything accepted, is settled, and equals the provider records."""
        began = time.perf_counter()
        accepted = len(self._generator.sent.accepted)
        while True:
            asked = time.perf_counter()
            compared = await self._comparer.compare(Window(self._began_at, datetime.now(UTC) + CLOCK_SLACK))
            seconds = compared.answered_at - began
            counted = compared.product.total.count if compared.product else -1
            if compared.equal and counted >= accepted and not compared.unsettled:
                return Drain(seconds, complete=True, last=compared)
            if seconds >= self._settings.drain_seconds_max:
                return Drain(seconds, complete=False, last=compared)
            await asyncio.sleep(max(0.0, asked + POLL_EVERY_SECONDS - time.perf_counter()))

    async def _until(self, seconds: float) -> None:
        """Sleeps until a time of the run."""
        await asyncio.sleep(max(0.0, self._began + seconds - time.perf_counter()))


def _totals_faults(sent: Sent, whole_run: Comparison) -> list[str]:
    if whole_run.product is None or whole_run.provider_records is None:
        return [f"the whole run could not be compared: {whole_run.trouble}"]
    return totals_faults(sent, whole_run.product, whole_run.provider_records)
