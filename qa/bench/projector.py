"""The real projector as a measured process."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from qa.bench.server import BIN
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError


class Projector:
    """`projector run` with its files in `folder`; the caller starts it."""

    def __init__(self, url: str, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "NATS_URL": url,
            "DATA_DIR": str(folder),
            "SUMMARY_SETTLE_SECONDS": "0",
            **variables,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = self._open("run")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def rebuild(self) -> subprocess.Popen[bytes]:
        """`projector rebuild`, started; its output goes to `rebuild.log`."""
        return self._open("rebuild")

    @property
    def rss_mb(self) -> float:
        assert self._process is not None, "not started"
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def output(self, command: str) -> str:
        return (self.folder / f"{command}.log").read_text()

    def _open(self, command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command}.log").open("ab") as output:
            return subprocess.Popen(
                [BIN / "projector", command], env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )


@contextmanager
def projector(url: str, folder: Path, **variables: str) -> Iterator[Projector]:
    """A running projector with these variables, too; removed afterwards."""
    running = Projector(url, folder, **variables)
    running.start()
    try:
        yield running
    finally:
        running.kill()


async def counted(model: ReadModel, *, timeout_seconds: float = 600) -> tuple[int, int]:
    """Payments and cents of the whole summary, once the projector answers. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            totals = (await model.summary(SummaryQuestion(), timeout_seconds=5)).totals.values()
        except ReadModelUnavailableError:
            if time.monotonic() > deadline:
                raise TimeoutError("the projector does not answer") from None
            await asyncio.sleep(0.05)
        else:
            return sum(total.count for total in totals), sum(total.amount_cents for total in totals)
