"""The live projector over many payments: its memory, its disk use for each payment, and its lag.

python -m qa.bench.live --payments 2000000 --rate 2000
"""

import asyncio
import time
from pathlib import Path

import click
import uvloop

from qa.bench.history import histories, write
from qa.bench.projector import Projector, counted, projector
from qa.bench.report import Figures, publish
from qa.bench.server import nats_server
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import ReadModel
from tollgate.projector.live.files import ModelFiles


@click.command()
@click.option("--payments", default=2_000_000, show_default=True, help="Payments in all, about three events each.")
@click.option("--rate", default=0, show_default=True, help="Payments a second; 0 writes as fast as the broker stores.")
@click.option("--steps", default=10, show_default=True, help="Number of measurements.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
def main(payments: int, rate: int, steps: int, path: Path | None) -> None:
    """Writes payments while the projector follows, and measures it at intervals."""
    with nats_server() as (url, folder):
        publish("the live projector", uvloop.run(measure(url, folder, payments, rate, steps)), path)


async def measure(url: str, folder: Path, payments: int, rate: int, steps: int) -> list[Figures]:
    rows: list[Figures] = []
    settled = cents = 0
    async with Broker(url, name="bench") as broker:
        await Log(broker).ensure(LogLimits())
        with projector(url, folder) as running:
            model = ReadModel(broker)
            await counted(model)
            for step in range(1, steps + 1):
                count = payments * step // steps - payments * (step - 1) // steps
                written = await _write(broker, count, rate, seed=step)
                settled, cents = settled + written[0], cents + written[1]
                began = time.monotonic()
                found = await counted(model)
                if found != (settled, cents):
                    raise click.ClickException(f"the read model holds {found}, the log {(settled, cents)}")
                rows.append(await _look(running, model, settled, time.monotonic() - began))
    return rows


async def _write(broker: Broker, payments: int, rate: int, *, seed: int) -> tuple[int, int]:
    settled = cents = 0
    began = time.monotonic()
    block = max(rate // 10, 1) if rate else payments
    source = histories(payments, seed=seed)
    for done in range(0, payments, block):
        written = await write(broker.client, (next(source) for _ in range(min(block, payments - done))))
        settled, cents = settled + written.charged, cents + written.charged_cents
        if rate:
            await asyncio.sleep(max(began + (done + block) / rate - time.monotonic(), 0))
    return settled, cents


async def _look(running: Projector, model: ReadModel, settled: int, lag_seconds: float) -> Figures:
    current = ModelFiles(running.folder / "projector").current
    size = sum(path.stat().st_size for path in (current, current.with_name(current.name + ".wal")) if path.exists())
    began = time.monotonic()
    await model.summary(SummaryQuestion(), timeout_seconds=5)
    return {
        "settled": settled,
        "rss_mb": running.rss_mb,
        "bytes_per_payment": size / max(settled, 1),
        "lag_s": lag_seconds,
        "summary_ms": 1e3 * (time.monotonic() - began),
    }


if __name__ == "__main__":
    main()
