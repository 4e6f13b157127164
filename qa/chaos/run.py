"""One run from start to end: a stack under load and faults, then healed, then judged."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from qa.chaos import coverage as reached
from qa.chaos.check import Ledger, Verdict, judge, summed
from qa.chaos.clocks import NoClocksError
from qa.chaos.cluster_environment import ClusterEnvironment
from qa.chaos.counters import Counters
from qa.chaos.customers import Customers, whole_window
from qa.chaos.disks import NoDisksError
from qa.chaos.environment import TOKEN, Environment, NotReadyError
from qa.chaos.evidence import LogTap, UnreadableError, read_model, said
from qa.chaos.faults import HealingError, Injector
from qa.chaos.gaps import gaps_after
from qa.chaos.history import History
from qa.chaos.plan import Plan
from qa.chaos.ports import port_block
from qa.chaos.result import Result
from qa.chaos.timeline import log_lines, timeline_of
from qa.load.client import NoAnswerError, Pool
from qa.load.comparison import Comparer
from qa.load.provider_records import Entry
from tollgate.runtime.errors import TollgateError

PAYING_CONNECTIONS = 200
ASKING_CONNECTIONS = 16
PEEK_EVERY_SECONDS = 2.0
ADMIN_SECONDS_MAX = 10.0
LIVENESS_SECONDS_MAX = 60.0
"""Bound after the last fault and the last client's end: by then everything accepted has ended and all sources agree.

A provider may still take 15 s for earlier requests, a payment may have been returned to the queue for 15 s more, and a
doubt for 30 s.
"""
Keep = Literal["failed", "all", "none"]
STORIES_MAX = 5
"""Limit of offending payments that are shown with their complete history."""


async def run(
    chosen: Plan,
    rate_per_second: float,
    *,
    services: Path | None = None,
    keep: Keep = "failed",
    has_cluster: bool = False,
) -> Result:
    """Runs one plan. `keep` selects the runs whose folder is kept. With `has_cluster`, on three brokers."""
    folder = Path(tempfile.mkdtemp(prefix=f"tollgate-chaos-{chosen.seed}-"))
    result = Result(chosen.seed, chosen.seconds)
    try:
        with port_block() as first_port:
            variables = {
                "PROCESSOR_TIMEOUT_SECONDS": str(chosen.processor_timeout_seconds),
                "PROCESSOR_PATIENCE_SECONDS": str(chosen.patience_seconds),
                "PAYMENT_PROCESSOR_CONTRACT_DEFAULT": chosen.contract,
                "PAYMENT_PROCESSOR_CONTRACT_FALLBACK": chosen.contract,
            }
            kinds = {fault.kind for fault in chosen.faults}
            shared: dict[str, Any] = {
                "seed": chosen.seed,
                "environment": variables,
                "traits": chosen.traits,
                "services": services,
            }
            environment = (
                ClusterEnvironment(folder, first_port, **shared)
                if has_cluster
                else Environment(folder, first_port, **shared, disks="disk" in kinds, clocks="clock" in kinds)
            )
            async with environment:
                await _Run(environment, chosen, rate_per_second, result).conduct()
    except (
        TollgateError,
        NotReadyError,
        NoDisksError,
        NoClocksError,
        HealingError,
        UnreadableError,
        NoAnswerError,
        OSError,
    ) as fault:
        result.trouble = f"{type(fault).__name__}: {fault}"
    if keep == "none" or (result.clean and keep == "failed"):
        shutil.rmtree(folder)
    else:
        result.kept = str(folder)
        (folder / "verdict.txt").write_text("\n".join([*result.faults, "", *result.offences, result.trouble, ""]))
    return result


class _Run:
    def __init__(self, environment: Environment, chosen: Plan, rate_per_second: float, result: Result) -> None:
        self._environment = environment
        self._plan = chosen
        self._rate_per_second = rate_per_second
        self._result = result
        self._paying = Pool(environment.edge, PAYING_CONNECTIONS)
        self._asking = Pool(environment.edge, ASKING_CONNECTIONS)
        self._provider_records = {name: Pool(origin, 2) for name, origin in environment.simulators.items()}
        self._comparer = Comparer(self._asking, self._provider_records, TOKEN)
        self._customers = Customers(self._paying, self._asking, chosen.seed)
        self._injector = Injector(environment, chosen.traits)
        self._counters = Counters()

    async def conduct(self) -> None:
        try:
            stopped_early = await self._safety()
            self._result.stopped_early = stopped_early
            await self._injector.heal()
            if stopped_early:
                self._customers.abandon()
            async with LogTap(self._environment.nats_url) as tap:
                history = await self._liveness(tap, converge=not stopped_early)
                redelivered = await tap.redelivered()
            if not stopped_early:
                await self._environment.settle()
        finally:
            for pool in (self._paying, self._asking, *self._provider_records.values()):
                pool.close()
        await self._count()
        self._environment.kill_all()
        if not stopped_early:
            (history.rows, history.rejected_rows), *others = map(read_model, self._environment.model_folders)
            history.standby = others[0] if others else None
        # The broker's store is unmounted with its disk, and reading the log needs a broker.
        (self._environment.folder / "log.txt").write_text("".join(f"{line}\n" for line in log_lines(history)))
        self._report(history, redelivered, judge(history, converged=not stopped_early))

    async def _safety(self) -> bool:
        """Runs load and faults. True when a broken promise ended them early."""
        asking = asyncio.ensure_future(self._customers.ask())
        load = asyncio.gather(
            self._customers.pay(self._rate_per_second, self._plan.seconds), self._injector.run(self._plan.faults)
        )
        peeking = asyncio.ensure_future(self._peek())
        try:
            await asyncio.wait((load, peeking), return_when=asyncio.FIRST_COMPLETED)
            if load.done():
                load.result()
            return not load.done()
        finally:
            for task in (load, peeking, asking):
                task.cancel()
            await asyncio.gather(load, peeking, asking, return_exceptions=True)

    async def _peek(self) -> None:
        """Returns when the provider records show a promise broken for good."""
        while True:
            await asyncio.sleep(PEEK_EVERY_SECONDS)
            try:
                await self._count()
                provider_records = await self._read_provider_records()
            except NoAnswerError:
                continue
            charged = Counter(entry.payment_id for entries in provider_records.values() for entry in entries)
            if charged and charged.most_common(1)[0][1] > 1:
                return

    async def _liveness(self, tap: LogTap, *, converge: bool) -> History:
        await self._customers.done()
        calm_at = time.monotonic()
        history = History(requests=self._customers.requests, asked=self._customers.asked)
        if converge:
            await self._environment.ready()
            # The stack has healed only if it accepts payments again.
            await self._customers.pay_one()
        while True:
            await tap.catch_up()
            history.log, history.forgotten = tap.events, self._customers.forgotten
            history.provider_records = await self._read_provider_records()
            history.refusals = {name: await self._admin(name, "refusals") for name in self._provider_records}
            if not converge:
                return history
            whole = await self._comparer.compare(whole_window(self._customers.began_us))
            history.final, history.is_unsettled = whole.product, whole.unsettled
            self._result.healed_after_seconds = time.monotonic() - calm_at
            has_ended = not Ledger.of(history).unended()
            if has_ended and not whole.unsettled and whole.product == summed(history.provider_records):
                return history
            if self._result.healed_after_seconds > LIVENESS_SECONDS_MAX:
                return history
            await asyncio.sleep(0.25)

    async def _read_provider_records(self) -> dict[str, list[Entry]]:
        provider_records = await self._comparer.entries()
        if provider_records is None:
            raise UnreadableError("the providers have no list of their payments")
        return provider_records

    async def _count(self) -> None:
        for name in self._provider_records:
            self._counters.note(name, await self._admin(name, "stats"))

    async def _admin(self, simulator: str, what: str) -> Any:
        """Raises NoAnswerError."""
        pool = self._provider_records[simulator]
        message = pool.origin.request("GET", f"/admin/{what}", b"", (("X-Rinha-Token", TOKEN),))
        return json.loads((await pool.ask(message, ADMIN_SECONDS_MAX)).body)

    def _report(self, history: History, redelivered: int, verdict: Verdict) -> None:
        result = self._result
        result.columns = verdict.counts()
        result.reached = reached.count(
            history, self._injector.done, said(self._environment.logs), redelivered, self._counters
        )
        result.gaps_seconds = gaps_after(self._injector.led_at_us(), history.requests)
        result.faults = [f"{one.fault}{'' if one.took else '  (no process)'}" for one in self._injector.done]
        result.faults_by_kind = dict(Counter(one.fault.kind for one in self._injector.done if one.took))
        result.requests = len(history.requests)
        result.payments = len({request.payment_id for request in history.requests})
        result.outcomes = dict(Counter(request.outcome for request in history.requests))
        result.events = len(history.log)
        result.charged = sum(len(entries) for entries in history.provider_records.values())
        result.offences = _told(history, verdict)


def _told(history: History, verdict: Verdict) -> list[str]:
    """A line for each offence, and the complete timeline of the first payments."""
    lines = [
        f"{column}: {offence.payment_id} {offence.text}".replace("  ", " ")
        for column, offences in verdict.columns.items()
        for offence in offences
    ]
    payments = list(
        dict.fromkeys(
            offence.payment_id for found in verdict.columns.values() for offence in found if offence.payment_id
        )
    )
    for payment_id in payments[:STORIES_MAX]:
        lines += ["", *timeline_of(history, payment_id)]
    return lines
