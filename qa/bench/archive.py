"""Rate and size of the archive, and what reads the log after a cut.

    python -m qa.bench.archive --payments 1000000

Fills a log, archives and cuts it, and compares summary, asOf, a rebuild and a replay with those from before.
"""

import asyncio
import re
import subprocess
import time
from pathlib import Path

import click
import psutil
import uvloop

from qa.bench.history import TOGETHER, histories, write
from qa.bench.projector import Projector, counted, projector
from qa.bench.report import Figures, publish
from qa.bench.server import BIN, nats_server
from tollgate.contract.events import PaymentRequested
from tollgate.contract.read_model_api import Summary, SummaryQuestion
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.read_model_client import ReadModel

LEFT = 10
"""One payment in so many is written after a request that stays open, so it is not archived."""
OPEN = "00000000-0000-4000-8000-000000000000"


@click.command()
@click.option("--payments", default=100_000, show_default=True, help="Payments in the log, about three events each.")
@click.option("--together", default=TOGETHER, show_default=True, help="How many intents or outcomes share a message.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="A file for the figures as JSON.")
def main(payments: int, together: int, path: Path | None) -> None:
    """Measures `tollgate archive` and `--cut`, and compares rebuild, replay and asOf with those before."""
    with nats_server() as (url, folder):
        publish("tollgate archive", [uvloop.run(measure(url, folder, payments, together))], path)


async def measure(url: str, folder: Path, payments: int, together: int) -> Figures:
    archive = folder / "archive"
    async with Broker(url, name="bench") as broker:
        await Log(broker).ensure(LogLimits())
        with projector(url, folder, ARCHIVE_DIR=str(archive)) as running:
            model = ReadModel(broker)
            written = await write(broker.client, histories(payments - payments // LEFT), together=together)
            assert await counted(model) == (written.charged, written.charged_cents)
            await Log(broker).append(PaymentRequested(OPEN, 1, now_us()), timeout_seconds=30)
            later = await write(broker.client, histories(payments // LEFT, seed=2), together=together)
            total = written.charged + later.charged, written.charged_cents + later.charged_cents
            assert await counted(model) == total
            half = written.messages // 2
            before = await _as_of(model, half)
            state = await broker.log_state(timeout_seconds=30)
            archiving = await _run(running, "tollgate", "archive")
            archived = _bytes(archive)
            cut = await _run(running, "tollgate", "archive", "--cut")
            left = await broker.log_state(timeout_seconds=30)
            assert await counted(model) == total
            assert await _as_of(model, half) == before
            rebuilt = await _run(running, "projector", "rebuild")
            assert " 0 differences" in rebuilt.output, rebuilt.output
            assert await _as_of(model, half) == before
            backup = await _run(running, "tollgate", "backup", str(folder / "backup"))
            replay = await _run(running, "tollgate", "replay", str(folder / "backup"))
            assert replay.output.splitlines()[-1] == "The same.", replay.output
            found = re.search(r"archive: 1 to (\d+) in (\d+) stretches", archiving.output.replace(str(folder), ""))
            assert found is not None, archiving.output
            events = (written.events + later.events) * int(found[1]) / (written.messages + later.messages)
            return {
                "payments": payments,
                "messages": state.last_sequence,
                "archived_messages": int(found[1]),
                "stretches": int(found[2]),
                "archive_s": archiving.seconds,
                "events_per_s": events / archiving.seconds,
                "archive_peak_mb": archiving.peak_mb,
                "stream_mb": state.stored_bytes / 1e6,
                "archive_mb": archived / 1e6,
                "of_the_stream": archived / (state.stored_bytes * int(found[1]) / state.last_sequence),
                "cut_s": cut.seconds,
                "left_mb": left.stored_bytes / 1e6,
                "rebuild_s": rebuilt.seconds,
                "backup_s": backup.seconds,
                "replay_s": replay.seconds,
            }


async def _as_of(model: ReadModel, sequence: int) -> Summary:
    return await model.summary(SummaryQuestion(None, None, as_of_sequence=sequence), timeout_seconds=30)


class _Done:
    """A command that has ended well."""

    def __init__(self, output: str, seconds: float, peak_mb: float) -> None:
        self.output = output
        self.seconds = seconds
        self.peak_mb = peak_mb


async def _run(running: Projector, program: str, *arguments: str) -> _Done:
    began = time.monotonic()
    log = running.folder / "command.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - it does not wait
            [BIN / program, *arguments], env=running.environment, stdout=output, stderr=subprocess.STDOUT
        )
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.Error:
            break
        await asyncio.sleep(0.02)
    if process.wait() != 0:
        raise click.ClickException(log.read_text())
    return _Done(log.read_text(), time.monotonic() - began, peak / 1e6)


def _bytes(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())


if __name__ == "__main__":
    main()
