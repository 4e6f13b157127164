"""The figures at one number of payments, of every program, on a log that holds so many."""

import asyncio
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import orjson

from qa.bench.history import BEGIN_US
from qa.bench.long_log import BLOCK, PER_SECOND, extend, id_of, is_plain
from qa.bench.report import Figures, quantile
from qa.bench.sizes.programs import Machine
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.timestamps import MICROSECONDS, format_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import definition
from tollgate.messaging.jetstream_api import consumer_api
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.processor.intake.queues import QUEUES
from tollgate.projector.live.files import ModelFiles, discard, index_of, open_snapshot_of, wal_of
from tollgate.projector.live.projection import SettledRow
from tollgate.projector.live.store import Checkpoint, Store

ASKED = 1_000
POSTED = 200
COMMITS = 60
COMMIT_ROWS = 275
READY_SECONDS_MAX = 1_800.0


async def write_up_to(machine: Machine, begin: int, end: int) -> None:
    """Extends the log, and sets the processors' queues to its end: all payments in it have ended."""
    async with Broker(machine.url, name="bench") as broker:
        await Log(broker).ensure(LogLimits())
        await extend(broker.client, begin, end)
        after = (await broker.log_state(timeout_seconds=60)).last_sequence + 1
        for queue in QUEUES:
            await broker.request(consumer_api("DELETE", queue.consumer), b"", timeout_seconds=60)
            question = {"stream_name": "PAYMENTS", "config": definition(queue, after)}
            answer = await broker.request(
                consumer_api("CREATE", queue.consumer), orjson.dumps(question), timeout_seconds=60
            )
            assert "error" not in answer, answer


def measure(machine: Machine, payments: int, say: Callable[[str], None], *, rebuilds: bool) -> Figures:
    """All figures. Every program but the broker has to be stopped; afterwards all are.

    Without `rebuilds` the read model has to be there.
    """
    files = ModelFiles(machine.folder / "projector")
    figures: Figures = {"payments": payments}
    if rebuilds:
        discard(files.current)
        say("rebuild")
        figures |= _rebuild(machine, payments)
    with _stopping(machine):
        say("first start after the rebuild")
        for simulator in machine.simulators:
            simulator.start()
        figures["projector_first_s"] = machine.projector.ready_seconds(
            lambda: _answers(machine), seconds_max=READY_SECONDS_MAX
        )
        figures["gateway_first_s"] = machine.gateway.ready_seconds(
            lambda: machine.ask("GET", "/readyz")[0] in (200, 204), seconds_max=READY_SECONDS_MAX
        )
        say("start after kill -9")
        machine.gateway.kill()
        machine.projector.kill()
        figures["projector_s"] = machine.projector.ready_seconds(
            lambda: _answers(machine), seconds_max=READY_SECONDS_MAX
        )
        figures["gateway_s"] = machine.gateway.ready_seconds(
            lambda: machine.ask("GET", "/readyz")[0] in (200, 204), seconds_max=READY_SECONDS_MAX
        )
        figures["gateway_ready_mb"] = machine.gateway.own_mb()
        say("processor")
        figures["processor_s"] = _charged_seconds(machine)
        say("questions")
        figures |= _questions(machine, payments)
        figures |= _posts(machine)
        say("a copy for queries")
        figures |= asyncio.run(_copy(machine))
        for program in (machine.gateway, machine.processor, machine.projector, machine.broker):
            figures[f"{program.name}_mb"] = program.own_mb()
    current = files.current
    figures |= {
        "stream_mb": _folder_mb(machine.folder / "store"),
        "model_mb": _mb(current) + _mb(wal_of(current)),
        "index_mb": _mb(index_of(current)),
        "open_mb": _mb(open_snapshot_of(current)),
    }
    say("commits")
    figures |= asyncio.run(_commits(machine, current))
    say("the broker after kill -9")
    machine.broker.kill()
    figures["broker_s"] = machine.start_broker()
    figures["broker_s"] = float(figures["broker_s"]) + asyncio.run(_broker_answers(machine))
    figures["broker_started_mb"] = machine.broker.own_mb()
    return figures


def _rebuild(machine: Machine, payments: int) -> Figures:
    machine.rebuild.log.unlink(missing_ok=True)
    seconds, peak = machine.rebuild.run()
    said = re.search(r"in ([\d.]+) s \(", machine.rebuild.log.read_text())
    assert said is not None
    return {
        "rebuild_s": seconds,
        "rebuild_read_s": float(said[1]),
        "rebuild_per_s": payments / seconds,
        "rebuild_peak_mb": peak,
    }


@contextmanager
def _stopping(machine: Machine) -> Iterator[None]:
    """Kills the services and simulators at the end."""
    try:
        yield
    finally:
        for one in (machine.gateway, machine.processor, machine.projector, *machine.simulators):
            one.kill()


def _answers(machine: Machine) -> bool:
    async def ask() -> bool:
        async with Broker(machine.url, name="bench") as broker:
            try:
                await ReadModel(broker).summary(SummaryQuestion(), timeout_seconds=5)
            except ReadModelUnavailableError:
                return False
            return True

    return asyncio.run(ask())


def _charged_seconds(machine: Machine) -> float:
    """From the processor's start until a payment that waited for it is charged."""
    correlation_id = str(uuid4())
    payment = orjson.dumps({"correlationId": correlation_id, "amount": 1.5})
    assert machine.ask("POST", "/payments", payment)[0] == 202

    def is_charged() -> bool:
        status, body = machine.ask("GET", f"/payments/{correlation_id}")
        return status == 200 and orjson.loads(body)["state"] == "processed"

    return machine.processor.ready_seconds(is_charged, seconds_max=READY_SECONDS_MAX)


def _questions(machine: Machine, payments: int) -> Figures:
    rng = random.Random(1)  # noqa: S311 - repeatable, and no secret
    numbers = [number for number in (rng.randrange(payments) for _ in range(ASKED * 2)) if is_plain(number)]
    hits = [f"/payments/{id_of(number)}" for number in numbers[:ASKED]]
    misses = [f"/payments/{uuid4()}" for _ in range(ASKED)]
    windows = []
    for _ in range(ASKED // 2):
        begin, end = sorted(rng.randrange(payments) for _ in range(2))
        times = [format_us(BEGIN_US + number * MICROSECONDS // PER_SECOND) for number in (begin, end)]
        windows.append(f"/payments-summary?from={times[0]}&to={times[1]}")
    figures: Figures = {}
    for name, targets, status in (("hit", hits, 200), ("miss", misses, 404), ("summary", windows, 200)):
        asked_ms = [_asked_ms(machine, "GET", target, status) for target in targets]
        figures |= {f"{name}_p50_ms": quantile(asked_ms, 0.5), f"{name}_p99_ms": quantile(asked_ms, 0.99)}
    whole_ms = [_asked_ms(machine, "GET", "/payments-summary", 200) for _ in range(100)]
    return {**figures, "whole_summary_p50_ms": quantile(whole_ms, 0.5)}


def _posts(machine: Machine) -> Figures:
    bodies = [orjson.dumps({"correlationId": str(uuid4()), "amount": 1.5}) for _ in range(POSTED)]
    posted_ms = [_asked_ms(machine, "POST", "/payments", 202, body) for body in bodies]
    return {"post_p50_ms": quantile(posted_ms, 0.5), "post_p99_ms": quantile(posted_ms, 0.99)}


def _asked_ms(machine: Machine, method: str, target: str, expected: int, body: bytes | None = None) -> float:
    began = time.perf_counter()
    status, answer = machine.ask(method, target, body)
    assert status == expected, (target, status, answer)
    return 1e3 * (time.perf_counter() - began)


async def _copy(machine: Machine) -> Figures:
    """The time of a query on a copy, and the longest that a summary, with its commit, took meanwhile."""
    async with Broker(machine.url, name="bench") as broker:
        model, log = ReadModel(broker), 0
        querying = asyncio.ensure_future(asyncio.to_thread(machine.query.run))
        longest_ms = 0.0
        while not querying.done():
            # A payment that is not committed yet: the summary needs a commit.
            body = orjson.dumps({"correlationId": str(uuid4()), "amount": 1.5})
            await asyncio.to_thread(machine.ask, "POST", "/payments", body)
            began = time.perf_counter()
            try:
                await model.summary(SummaryQuestion(), timeout_seconds=30)
            except ReadModelUnavailableError:
                log += 1
            longest_ms = max(longest_ms, 1e3 * (time.perf_counter() - began))
        seconds, _ = await querying
    return {"query_s": seconds, "summary_beside_query_max_ms": longest_ms, "summary_beside_query_refused": log}


async def _commits(machine: Machine, current: Path) -> Figures:
    """Commits of a copy of the read model, in this process. The rows are of no log."""
    folder = machine.folder / "commits"
    folder.mkdir(exist_ok=True)
    path = folder / current.name
    for source, target in ((current, path), (wal_of(current), wal_of(path)), (index_of(current), index_of(path))):
        if source.exists():
            shutil.copyfile(source, target)
    async with Broker(machine.url, name="bench") as broker:
        identity = (await broker.log_state(timeout_seconds=60)).identity
    rng = random.Random(2)  # noqa: S311
    commit_ms: list[float] = []
    with closing(Store.open(path, identity)) as store:
        position = store.checkpoint.position
        for _ in range(COMMITS):
            rows = [_row(rng, position + number + 1) for number in range(COMMIT_ROWS)]
            position += COMMIT_ROWS
            began = time.perf_counter()
            store.commit(rows, Checkpoint(position, position + 1))
            commit_ms.append(1e3 * (time.perf_counter() - began))
    discard(path)
    return {"commit_p50_ms": quantile(commit_ms, 0.5), "commit_p99_ms": quantile(commit_ms, 0.99)}


def _row(rng: random.Random, sequence: int) -> SettledRow:
    stamp_us = BEGIN_US + sequence
    return SettledRow(str(uuid4()), "default", rng.randint(1, 100_000), stamp_us, stamp_us + 900, 1, [sequence])


async def _broker_answers(machine: Machine) -> float:
    began = time.monotonic()
    async with Broker(machine.url, name="bench") as broker:
        await broker.log_state(timeout_seconds=600)
    return time.monotonic() - began


def _mb(path: Path) -> float:
    return path.stat().st_size / 1e6 if path.exists() else 0.0


def _folder_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def rounded(payments: int) -> int:
    """The nearest number of payments that the generator writes."""
    return max(round(payments / BLOCK), 1) * BLOCK
