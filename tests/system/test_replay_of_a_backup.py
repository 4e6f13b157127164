"""`tollgate replay`: a stack started from a backup has the same summary, and charges nothing."""

import asyncio
import os
import subprocess
from pathlib import Path
from uuid import uuid4

import aiohttp

from tests.integration.projector.archive.test_archive import command, eventually_archived
from tests.support.forked import BIN
from tests.support.projector_environment import projector_environment
from tollgate.contract.events import PaymentRequested
from tollgate.contract.read_model_api import Total
from tollgate.contract.timestamps import now_us
from tollgate.ops.backup import Account, back_up
from tollgate.ops.replay import report


async def test_a_stack_started_from_a_backup_has_the_same_summary_and_charges_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "first" / "archive"
    async with (
        projector_environment(tmp_path / "first", ARCHIVE_DIR=str(archive)) as first,
        aiohttp.ClientSession() as session,
    ):
        for cents in (1, 1_990, 300):
            await first.pay(cents, "fallback" if cents == 300 else "default")
        await eventually_archived(first)
        assert (await command(first, "tollgate", "archive", "--cut")).status == 0
        await first.append(PaymentRequested(str(uuid4()), 700, now_us()))
        await back_up(first.operator, tmp_path / "backup", check=False, archive_dir=archive)
        provider_records = [await one.book(session) for one in first.simulators.values()]
        archived = sorted(one.name for one in archive.rglob("*"))
        done = await asyncio.to_thread(
            subprocess.run,  # type: ignore[arg-type]
            [BIN / "tollgate", "replay", tmp_path / "backup"],
            # Its processors are named, and there; a processor would charge the open payment.
            env={**os.environ, **first.variables, "ARCHIVE_DIR": str(archive)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert [await one.book(session) for one in first.simulators.values()] == provider_records
    # The archive itself is as it was: the replay only reads it.
    assert sorted(one.name for one in archive.rglob("*")) == archived
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert ["default", "2", "19.91", "2", "19.91"] in lines
    assert ["fallback", "1", "3.00", "1", "3.00"] in lines
    assert lines[-1] == ["The", "same."]


def test_a_replay_with_another_summary_is_reported() -> None:
    said: list[str] = []
    account = Account(3, {"default": Total(1, 100), "fallback": Total()})
    assert report(account, {"default": Total(1, 100), "fallback": Total()}, said.append)
    assert not report(account, {"default": Total(1, 101), "fallback": Total()}, said.append)
    assert said[-1] == "NOT the same."
