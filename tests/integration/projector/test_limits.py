"""What the projector does at its bounds."""

import asyncio
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Projector
from tollgate.contract.events import PaymentProcessed
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.projector import service
from tollgate.projector.cli import serve
from tollgate.projector.settings import Settings
from tollgate.runtime.settings import load

PAYMENTS = 1_500
"""About 75 KB in the read model's write-ahead log."""
ROOM_BYTES = 20_000


async def test_a_query_beyond_the_limit_is_refused(
    nats_server: NatsServer, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "QUESTIONS_MAX", 0)
    settings = load(Settings, {"NATS_URL": nats_server.url, "DATA_DIR": str(tmp_path)})
    serving = asyncio.ensure_future(serve(settings))
    try:

        async def is_told() -> bool:
            with pytest.raises(ReadModelUnavailableError) as told:
                await ReadModel(broker).summary(SummaryQuestion(), timeout_seconds=2)
            return str(told.value) == "0 queries are being served already"

        await eventually(is_told, what="a question too many is told so")
    finally:
        serving.cancel()
        await asyncio.wait((serving,))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB with a file `filler` that leaves ROOM_BYTES of it."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_stops_the_projector_with_a_word_and_it_continues_when_there_is_room(
    nats_server: NatsServer, broker: Broker, log: Log, small_disk: Path
) -> None:
    projector = Projector(nats_server.url, small_disk)
    projector.log = small_disk.parent / "projector.log"
    read_model = ReadModel(broker)

    async def sums_to(count: int) -> bool:
        try:
            summary = await read_model.summary(SummaryQuestion(), timeout_seconds=2)
        except ReadModelUnavailableError:
            return False
        return summary.totals["default"].count == count

    with projector:
        await eventually(lambda: sums_to(0), what="the projector answers")
        filler = small_disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - ROOM_BYTES))
        await _charge(log, PAYMENTS)

        async def has_ended() -> bool:
            return not projector.is_running

        await eventually(has_ended, what="the projector has stopped", timeout_seconds=30)
        assert projector.wait(1) == 1
        assert "CRITICAL" in projector.output()
        assert "the read model cannot be written" in projector.output()
        filler.unlink()
        projector.start()
        await eventually(lambda: sums_to(PAYMENTS), what="it has caught up", timeout_seconds=30)


async def _charge(log: Log, count: int) -> None:
    limit = asyncio.Semaphore(200)

    async def charge() -> None:
        payment, moment = str(uuid.uuid4()), now_us()
        async with limit:
            await log.append(PaymentProcessed(payment, 1990, 1, "default", moment, moment), timeout_seconds=30)

    await asyncio.gather(*(charge() for _ in range(count)))
