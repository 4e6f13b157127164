"""The rate at which waiting payments are charged behind payments that have ended, and the memory meanwhile.

    python -m qa.bench.sizes.backlog --ended 10000000 --waiting 1000000

The log in `--folder` may be one of `qa.bench.sizes`. Without `--seconds` all are charged, and the records of both
providers are compared with what waited, and so is the summary. `--forgets-all` forces false positives: the processor's
filter of ended payments then contains every id.
"""

import asyncio
import http.client
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import orjson

from qa.bench.long_log import AMOUNT_CENTS, extend_with_waiting, waiting_id
from qa.bench.report import Figures, publish, quantile
from qa.bench.sizes.measure import rounded, write_up_to
from qa.bench.sizes.programs import Machine, Measured
from qa.chaos.ports import port_block
from tollgate.contract.batch import EVENTS_MAX
from tollgate.contract.read_model_api import SummaryQuestion, Total
from tollgate.messaging.connection import Broker
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError

READY_SECONDS_MAX = 1_800.0
SAMPLE_SECONDS = 1.0
WARM_UP_SECONDS = 10.0
"""The rate is that from then on: the estimates of the providers have settled."""


@click.command()
@click.option("--ended", default=0, show_default=True, help="Payments that have ended, written if they are missing.")
@click.option("--waiting", default=100_000, show_default=True, help="Payments that wait, written after those.")
@click.option("--seconds", default=0.0, show_default=True, help="How long to measure; 0 until all are charged.")
@click.option("--filter-mb", default=4, show_default=True, help="KNOWN_IDS_FILTER_MB.")
@click.option("--folder", default="build/backlog", show_default=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--forgets-all", is_flag=True, help="Force false positives of the processor's filter.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
def main(
    *, ended: int, waiting: int, seconds: float, filter_mb: int, folder: Path, forgets_all: bool, path: Path | None
) -> None:
    """Charges a backlog. Exits with 1 when a payment was lost or charged twice, or the summary is wrong."""
    with port_block() as first_port:
        machine = Machine(folder.absolute(), first_port, filter_mb=filter_mb, forgets_all=forgets_all)
        machine.start_broker()
        try:
            written_path = folder / "written"
            written, ended = int(written_path.read_text()) if written_path.exists() else 0, rounded(ended)
            if written < ended:
                asyncio.run(write_up_to(machine, written, ended))
                written_path.write_text(f"{ended}\n")
            publish("a backlog", [asyncio.run(_drain(machine, waiting, seconds))], path)
        finally:
            machine.kill_all()


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    total: Total
    """Of both providers together."""
    own_mb: dict[str, float]


async def _drain(machine: Machine, waiting: int, seconds: float) -> Figures:
    waiting -= waiting % EVENTS_MAX
    async with Broker(machine.url, name="bench") as broker:
        model = ReadModel(broker)
        machine.projector.start()
        before = await _total(machine.projector, model)
        waited_path = machine.folder / "waited"
        first = int(waited_path.read_text()) if waited_path.exists() else 0
        waited_path.write_text(f"{first + waiting}\n")
        await extend_with_waiting(broker.client, first, first + waiting)
        began = time.monotonic()
        await _total(machine.projector, model)
        followed_seconds = time.monotonic() - began
        machine.projector.kill()
        machine.projector.start()
        began = time.monotonic()
        await _total(machine.projector, model)
        restarted_seconds = time.monotonic() - began
        for program in (*machine.simulators, machine.processor):
            program.start()
        measured = (machine.projector, machine.processor, machine.broker)
        cpu_before = {one.name: one.cpu_seconds() for one in measured}
        expected = Total(before.count + waiting, before.amount_cents + waiting * AMOUNT_CENTS)
        samples = await _sampled(machine, model, _Sample(time.monotonic(), before, {}), expected.count, seconds)
        charged, took = samples[-1].total.count - before.count, samples[-1].at - samples[0].at
        figures: Figures = {
            "waiting": waiting,
            "followed_s": followed_seconds,
            "restart_s": restarted_seconds,
            "charged": charged,
            "seconds": took,
            "per_s_first_to_last": charged / took,
            "per_s": _rate(samples),
            "per_s_median": _median_rate(samples),
        }
        for one in measured:
            figures[f"{one.name}_peak_mb"] = max(sample.own_mb.get(one.name, 0.0) for sample in samples)
            figures[f"{one.name}_end_mb"] = samples[-1].own_mb[one.name]
            figures[f"{one.name}_cpu_ms"] = 1e3 * (one.cpu_seconds() - cpu_before[one.name]) / max(charged, 1)
    if not seconds:
        if samples[-1].total != expected:
            raise click.ClickException(f"the summary has {samples[-1].total}, not {expected}")
        figures |= _compared(machine, range(first, first + waiting))
    return figures


async def _sampled(machine: Machine, model: ReadModel, first: _Sample, end: int, seconds: float) -> list[_Sample]:
    """A sample each second, until `end` payments are in the summary or the seconds are over."""
    samples, measured = [first], (machine.projector, machine.processor, machine.broker)
    while samples[-1].total.count < end and (not seconds or samples[-1].at - first.at < WARM_UP_SECONDS + seconds):
        await asyncio.sleep(SAMPLE_SECONDS)
        own_mb = {one.name: one.own_mb() for one in measured}
        total = await _total(machine.processor, model)
        samples.append(_Sample(time.monotonic(), total, own_mb))
    return samples


def _rate(samples: list[_Sample]) -> float:
    """Payments a second after the warm-up, without the last sample, in which nothing may have waited any more."""
    later = [one for one in samples[:-1] if one.at - samples[0].at >= WARM_UP_SECONDS] or samples
    first, last = later[0], later[-1]
    return (last.total.count - first.total.count) / max(last.at - first.at, 1e-9)


def _median_rate(samples: list[_Sample]) -> float:
    """The median of the rates between two samples: a pause of all programs does not change it."""
    rates = [(two.total.count - one.total.count) / (two.at - one.at) for one, two in pairwise(samples)]
    return quantile(rates, 0.5)


async def _total(program: Measured, model: ReadModel) -> Total:
    """The summary of everything, once one is given.

    Raises TimeoutError, and NotReadyError when the program has ended.
    """
    async with asyncio.timeout(READY_SECONDS_MAX):
        while True:
            with suppress(ReadModelUnavailableError):
                totals = (await model.summary(SummaryQuestion(), timeout_seconds=5)).totals.values()
                return Total(sum(one.count for one in totals), sum(one.amount_cents for one in totals))
            program.check()
            await asyncio.sleep(0.05)


def _compared(machine: Machine, waiting: range) -> Figures:
    """What of the waiting payments both providers have. Raises ClickException unless each is charged once."""
    records = [_charged_ids(port) for port in machine.provider_ports.values()]
    expected = {waiting_id(number) for number in waiting}
    figures: Figures = {
        "lost": len(expected - records[0] - records[1]),
        "charged_twice": len(records[0] & records[1]),
    }
    if any(figures.values()):
        raise click.ClickException(f"{figures}")
    return figures


def _charged_ids(port: int) -> set[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/admin/payments", headers={"X-Rinha-Token": "123"})
    with connection.getresponse() as answer:
        return {orjson.loads(line)["correlationId"] for line in answer if line.strip()}


if __name__ == "__main__":
    main()
