"""Rate and memory of a rebuild of the read model while summaries are queried.

    python -m qa.bench.rebuild --payments 1000000

The rate is compared with that of a bare consumer that reads the same messages in the same run and discards them.
"""

import asyncio
import re
import time
from pathlib import Path

import click
import psutil
import uvloop

from qa.bench.history import TOGETHER, Written, histories, write
from qa.bench.projector import Projector, counted, projector
from qa.bench.report import Figures, publish, quantile
from qa.bench.server import nats_server
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import ReadModel
from tollgate.runtime.tasks import end


@click.command()
@click.option("--payments", default=1_000_000, show_default=True, help="Payments in the log, about three events each.")
@click.option("--together", default=TOGETHER, show_default=True, help="How many intents or outcomes share a message.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
def main(payments: int, together: int, path: Path | None) -> None:
    """Measures `projector rebuild` beside a running projector."""
    with nats_server() as (url, folder):
        publish("projector rebuild", [uvloop.run(measure(url, folder, payments, together))], path)


async def measure(url: str, folder: Path, payments: int, together: int) -> Figures:
    async with Broker(url, name="bench") as broker:
        await Log(broker).ensure(LogLimits())
        written = await write(broker.client, histories(payments), together=together)
        with projector(url, folder) as running:
            model = ReadModel(broker)
            assert await counted(model) == (written.charged, written.charged_cents)
            bare_rate = await _bare_rate(url, written)
            asked_ms: list[float] = []
            asking = asyncio.ensure_future(_ask(model, asked_ms))
            try:
                seconds, peak_mb = await _rebuild(running)
            finally:
                await end(asking)
            assert await counted(model) == (written.charged, written.charged_cents)
            said = re.search(r"read [\d,]+ messages up to [\d,]+ in ([\d.]+) s", running.output("rebuild"))
            assert said is not None, running.output("rebuild")
            rate = written.events / float(said[1])
            return {
                "payments": payments,
                "messages": written.messages,
                "events": written.events,
                "read_s": float(said[1]),
                "with_check_s": seconds,
                "events_per_s": rate,
                "bare_per_s": bare_rate,
                "share": rate / bare_rate,
                "peak_mb": peak_mb,
                "projector_mb": running.rss_mb,
                "summaries": len(asked_ms),
                "summary_p50_ms": quantile(asked_ms, 0.5),
                "summary_p99_ms": quantile(asked_ms, 0.99),
            }


async def _bare_rate(url: str, written: Written) -> float:
    """Events a second of nats-py's ordered consumer, which discards the messages."""
    async with Broker(url, name="bare") as broker:
        done = asyncio.get_running_loop().create_future()
        left = written.messages

        async def take(_: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set_result(None)

        began = time.monotonic()
        await broker.client.jetstream().subscribe(
            "payments.>",
            stream="PAYMENTS",
            ordered_consumer=True,
            cb=take,
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        await done
        return written.events / (time.monotonic() - began)


async def _rebuild(running: Projector) -> tuple[float, float]:
    """Seconds until the rebuilt file is in place, and the largest memory of the rebuild's processes in MB."""
    began = time.monotonic()
    process = running.rebuild()
    peak = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            both = [watched, *watched.children()]
            peak = max(peak, sum(one.memory_full_info().pss for one in both))
        except psutil.Error:
            break
        await asyncio.sleep(0.02)
    if process.wait() != 0:
        raise click.ClickException(running.output("rebuild"))
    return time.monotonic() - began, peak / 1e6


async def _ask(model: ReadModel, asked_ms: list[float]) -> None:
    while True:
        began = time.monotonic()
        await model.summary(SummaryQuestion(), timeout_seconds=10)
        asked_ms.append(1e3 * (time.monotonic() - began))
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    main()
