"""SIGKILL of the projector at random times under load: after each, the read model has to equal the log.

python -m qa.bench.kill_projector --kills 100 --payments 20000
"""

import asyncio
import random
import time
from pathlib import Path

import click
import duckdb
import uvloop

from qa.bench.history import histories, write
from qa.bench.projector import counted, projector
from qa.bench.report import Figures, publish, quantile
from qa.bench.server import nats_server
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import ReadModel
from tollgate.projector.live.files import ModelFiles


@click.command()
@click.option("--kills", default=100, show_default=True)
@click.option("--payments", default=20_000, show_default=True, help="Payments written in all.")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
def main(kills: int, payments: int, seed: int, path: Path | None) -> None:
    """Kills the projector repeatedly. Exits with 1 when the read model differed from the log after a kill."""
    with nats_server() as (url, folder):
        publish("the projector, killed", [uvloop.run(measure(url, folder, kills, payments, seed))], path)


async def measure(url: str, folder: Path, kills: int, payments: int, seed: int) -> Figures:
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    settled = cents = 0
    back_seconds: list[float] = []
    async with Broker(url, name="bench") as broker:
        await Log(broker).ensure(LogLimits())
        model = ReadModel(broker)
        with projector(url, folder) as running:
            await counted(model)
            for number in range(kills):
                count = payments * (number + 1) // kills - payments * number // kills
                writing = asyncio.ensure_future(write(broker.client, histories(count, seed=seed * 1_000_000 + number)))
                await asyncio.sleep(rng.random() * 0.8)
                running.kill()
                began = time.monotonic()
                running.start()
                written = await writing
                settled, cents = settled + written.charged, cents + written.charged_cents
                found = await counted(model)
                back_seconds.append(time.monotonic() - began)
                if found != (settled, cents):
                    raise click.ClickException(
                        f"after kill {number + 1}: {found}, and the log holds {(settled, cents)}"
                    )
            running.stop()
        rows = _distinct(ModelFiles(folder / "projector").current)
        if rows != (settled, settled):
            raise click.ClickException(f"{rows} rows and payments, and the log holds {settled}")
    return {
        "kills": kills,
        "settled": settled,
        "differences": 0,
        "back_p50_s": quantile(back_seconds, 0.5),
        "back_max_s": quantile(back_seconds, 1.0),
    }


def _distinct(path: Path) -> tuple[int, int]:
    """The number of rows, and of distinct payments in them."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows, payments = connection.execute("SELECT count(*), count(DISTINCT correlation_id) FROM settled").fetchall()[
            0
        ]
        return rows, payments


if __name__ == "__main__":
    main()
