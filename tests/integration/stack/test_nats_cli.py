"""The nats CLI, as docs/how-to/watch-the-log.md shows it: each program restores the backups of the other.

Runs only where the CLI is installed.
"""

import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.nats_server import GuardedNatsServer
from tollgate.contract.events import PaymentRequested
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log, LogLimits
from tollgate.ops.backup import back_up, restore

NATS = shutil.which("nats")
pytestmark = pytest.mark.skipif(
    NATS is None, reason="the nats CLI is not on the PATH (docs/how-to/watch-the-log.md says how to get it)"
)


def backup_command(server: GuardedNatsServer) -> tuple[list[str], list[str]]:
    """How this release of the CLI is told to back up, and to restore."""
    is_new = run(server, "backup", "restore", "stream", "--help").returncode == 0
    return (
        (["backup", "stream"], ["backup", "restore", "stream"])
        if is_new
        else (["stream", "backup"], ["stream", "restore"])
    )


def nats(server: GuardedNatsServer, *arguments: str) -> str:
    done = run(server, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(server: GuardedNatsServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert NATS is not None
    return subprocess.run(
        [NATS, *arguments],
        env={**os.environ, "NATS_URL": server.url("operator")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def fill(server: GuardedNatsServer) -> str:
    await server.ready()
    async with Broker(server.url("projector"), name="test") as broker:
        await Log(broker).ensure(LogLimits())
    async with Broker(server.url("gateway"), name="test") as broker:
        event = PaymentRequested(str(uuid4()), 1_990, now_us())
        await Log(broker).append(event, timeout_seconds=5)
    return event.correlation_id


async def test_each_reads_the_backup_of_the_other(tmp_path: Path) -> None:
    with GuardedNatsServer(tmp_path / "a") as first:
        correlation_id = await fill(first)
        async with Broker(first.url("operator"), name="test") as broker:
            await back_up(broker, tmp_path / "ours", check=False)
        back_up_with, restore_with = backup_command(first)
        nats(first, *back_up_with, "PAYMENTS", str(tmp_path / "theirs"))
    with GuardedNatsServer(tmp_path / "b") as second, GuardedNatsServer(tmp_path / "c") as third:
        await second.ready()
        await third.ready()
        nats(second, *restore_with, str(tmp_path / "ours"))
        async with Broker(third.url("operator"), name="test") as broker:
            assert await restore(broker, tmp_path / "theirs") == 1
        for server in (second, third):
            assert correlation_id in nats(server, "stream", "get", "PAYMENTS", "1")


async def test_it_shows_the_log_to_the_operator(tmp_path: Path) -> None:
    with GuardedNatsServer(tmp_path / "a") as server:
        correlation_id = await fill(server)
        assert correlation_id in nats(server, "stream", "get", "PAYMENTS", "1")
        assert "PAYMENTS" in nats(server, "stream", "ls", "--names")
