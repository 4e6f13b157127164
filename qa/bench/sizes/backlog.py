"""The rate at which waiting payments are charged behind payments that have ended, and the memory meanwhile.

    python -m qa.bench.sizes.backlog --ended 10000000 --waiting 1000000

The log in `--folder` may be one of `qa.bench.sizes`. Without `--seconds` all are charged, and the records of both
providers are compared with what waited.
"""

import asyncio
import http.client
import time
from contextlib import suppress
from pathlib import Path

import click
import orjson

from qa.bench.long_log import extend_with_waiting, waiting_id
from qa.bench.report import Figures, publish
from qa.bench.sizes.measure import rounded, write_up_to
from qa.bench.sizes.programs import Machine, Measured
from qa.chaos.ports import port_block
from tollgate.contract.batch import EVENTS_MAX
from tollgate.contract.read_model_api import SummaryQuestion
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
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
def main(*, ended: int, waiting: int, seconds: float, filter_mb: int, folder: Path, path: Path | None) -> None:
    """Charges a backlog. Exits with 1 when a payment was lost or charged twice."""
    with port_block() as first_port:
        machine = Machine(folder.absolute(), first_port, filter_mb=filter_mb)
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


async def _drain(machine: Machine, waiting: int, seconds: float) -> Figures:
    waiting -= waiting % EVENTS_MAX
    async with Broker(machine.url, name="bench") as broker:
        model = ReadModel(broker)
        machine.projector.start()
        before = await _charged(machine.projector, model)
        await extend_with_waiting(broker.client, waiting)
        began = time.monotonic()
        await _charged(machine.projector, model)
        followed_seconds = time.monotonic() - began
        machine.projector.kill()
        machine.projector.start()
        began = time.monotonic()
        await _charged(machine.projector, model)
        restarted_seconds = time.monotonic() - began
        for program in (*machine.simulators, machine.processor):
            program.start()
        charged_at = await _sampled(machine, model, before, before + waiting, seconds)
        figures: Figures = {
            "waiting": waiting,
            "followed_s": followed_seconds,
            "restart_s": restarted_seconds,
            "charged": charged_at[-1][1] - before,
            "per_s": _rate(charged_at),
            **{f"{one.name}_mb": one.own_mb() for one in (machine.projector, machine.processor, machine.broker)},
        }
    if not seconds:
        figures |= _compared(machine, waiting)
    return figures


async def _sampled(
    machine: Machine, model: ReadModel, before: int, end: int, seconds: float
) -> list[tuple[float, int]]:
    """(time, payments in the summary) each second, until all are charged or the seconds are over."""
    began = time.monotonic()
    samples = [(began, before)]
    while samples[-1][1] < end and (not seconds or time.monotonic() - began < WARM_UP_SECONDS + seconds):
        await asyncio.sleep(SAMPLE_SECONDS)
        samples.append((time.monotonic(), await _charged(machine.processor, model)))
    return samples


def _rate(samples: list[tuple[float, int]]) -> float:
    """Payments a second after the warm-up, without the last sample, in which nothing may have waited any more."""
    later = [one for one in samples[:-1] if one[0] - samples[0][0] >= WARM_UP_SECONDS] or samples
    (begin, first), (end, last) = later[0], later[-1]
    return (last - first) / max(end - begin, 1e-9)


async def _charged(program: Measured, model: ReadModel) -> int:
    """Payments in the summary, once one is given. Raises TimeoutError, and NotReadyError when the program has ended."""
    async with asyncio.timeout(READY_SECONDS_MAX):
        while True:
            with suppress(ReadModelUnavailableError):
                totals = (await model.summary(SummaryQuestion(), timeout_seconds=5)).totals.values()
                return sum(total.count for total in totals)
            program.check()
            await asyncio.sleep(0.05)


def _compared(machine: Machine, waiting: int) -> Figures:
    """What of the waiting payments both providers have. Raises ClickException unless each is charged once."""
    records = [_charged_ids(port) for port in machine.provider_ports.values()]
    expected = {waiting_id(number) for number in range(waiting)}
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
