"""What the programs do with a stream whose beginning is in the archive, with real processes."""

import asyncio
import fcntl
import os
import shutil
from contextlib import AsyncExitStack, closing
from pathlib import Path
from uuid import uuid4

import aiohttp
import duckdb

from tests.integration.projector.archive.test_archive import (
    command,
    eventually_archived,
    messages_of,
    run,
    verified,
)
from tests.support.broken_log import change_byte
from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.projector_environment import ProjectorEnvironment, projector_environment
from tests.support.services import Gateway, Processor
from tollgate.archive.folder import open_archive
from tollgate.contract.events import PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_api import Summary, SummaryQuestion
from tollgate.contract.timestamps import now_us
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel

EXIT_SECONDS = 20.0
_HEADERS_BYTES, _BLOCK_BYTES = 3 * 4_096, 262_144
"""Of a DuckDB file."""


async def summary(made: ProjectorEnvironment) -> Summary:
    return await ReadModel(made.operator).summary(SummaryQuestion(), timeout_seconds=10)


def block_with_rows(model: Path) -> int:
    """Where the block begins that holds rows of the settled payments."""
    with closing(duckdb.connect(str(model), read_only=True)) as connection:
        ((block,),) = connection.execute(
            "SELECT max(block_id) FROM pragma_storage_info('settled') WHERE persistent AND column_name = 'amount_cents'"
        ).fetchall()
    return _HEADERS_BYTES + int(block) * _BLOCK_BYTES


async def restarted(made: ProjectorEnvironment) -> None:
    made.projector.start()
    await made.answering()


async def test_gateway_and_processor_start_on_a_log_that_was_cut(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(projector_environment(tmp_path, ARCHIVE_DIR=str(archive)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        ids = [await made.pay(100 + number) for number in range(5)]
        await eventually_archived(made)
        assert (await command(made, "tollgate", "archive", "--cut")).status == 0
        charged = {name: await one.book(session) for name, one in made.simulators.items()}

        gateway = stack.enter_context(Gateway(made.server.url("gateway"), tmp_path))
        await gateway.ready(session)
        ends = (await made.operator.log_state(timeout_seconds=5)).last_sequence
        for correlation_id, amount, status in (
            *((one, (100 + number) / 100, 202) for number, one in enumerate(ids)),
            (ids[0], 9.99, 409),
        ):
            body = {"correlationId": correlation_id, "amount": amount}
            async with session.post(f"{gateway.url}/payments", json=body) as response:
                assert response.status == status, await response.text()
        # The repeats of archived payments were not stored again.
        assert (await made.operator.log_state(timeout_seconds=5)).last_sequence == ends
        body = {"correlationId": "1" * 8 + "-0000-4000-8000-" + "0" * 12, "amount": 7}
        async with session.post(f"{gateway.url}/payments", json=body) as response:
            assert response.status == 202, await response.text()

        urls = {name: one.url for name, one in made.simulators.items()}
        stack.enter_context(
            Processor(made.server.url("processor"), tmp_path, default=urls["default"], fallback=urls["fallback"])
        )

        async def is_charged() -> bool:
            return sum(total.count for total in (await summary(made)).totals.values()) == len(ids) + 1

        await eventually(is_charged, what="the new payment is charged", timeout_seconds=30)
        books = {name: await one.book(session) for name, one in made.simulators.items()}
        # Nothing that was archived was charged again.
        assert {**books["default"], **books["fallback"]}.keys() == {
            *charged["default"],
            *charged["fallback"],
            body["correlationId"],
        }


async def test_a_read_model_older_than_the_cut_is_built_from_the_archive_and_not_without_it(tmp_path: Path) -> None:
    archive, data = tmp_path / "archive", tmp_path / "projector"
    async with projector_environment(tmp_path, ARCHIVE_DIR=str(archive)) as made:
        for number in range(3):
            await made.pay(100 + number)
        await summary(made)
        assert made.projector.stop() == 0
        shutil.copytree(data, tmp_path / "older")
        await restarted(made)
        for number in range(3):
            await made.pay(200 + number)
        await eventually_archived(made)
        cut = await command(made, "tollgate", "archive", "--cut")
        assert cut.status == 0, cut.errors
        whole, before, rows = await summary(made), await messages_of(made, archived=True), await verified(made)

        # Another command has the archive, and nothing happens to it.
        with (archive / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            other = await command(made, "tollgate", "archive")
            assert (other.status, "another command archives" in other.line) == (1, True)

        assert made.projector.stop() == 0
        shutil.rmtree(data)
        shutil.move(tmp_path / "older", data)
        # The operator has lost the archive: neither an old file nor a missing one becomes a part of the truth.
        archive.rename(tmp_path / "kept")
        made.projector.start()
        assert made.projector.wait(EXIT_SECONDS) == 1
        assert "holds nothing, and the log begins at" in made.projector.output()
        # What the stream holds is backed up all the same.
        backup = await command(made, "tollgate", "backup", str(tmp_path / "backup"))
        assert (backup.status, "what was before is not counted" in backup.line) == (1, True)
        (tmp_path / "kept").rename(archive)
        await restarted(made)
        assert await summary(made) == whole
        assert await verified(made) == rows
        assert await messages_of(made, archived=True) == before


async def test_what_left_the_stream_and_is_not_archived_is_a_fault_and_not_a_cut(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    async with projector_environment(tmp_path) as made:
        for number in range(6):
            await made.pay(100 + number)
        # The projector does not read this archive yet.
        await eventually_archived(made, "--messages-max", "6")
        refused = await command(made, "tollgate", "archive", "--cut")
        assert (refused.status, "nothing was cut" in refused.errors, "(none)" in refused.errors) == (1, True, True)
        end = open_archive(archive).last_sequence
        # A stretch is lost, and then the stream is emptied by hand up to the archive's former end.
        shutil.rmtree(archive / f"{end - 2:019d}")
        await Log(made.operator).purge_before(end + 1, timeout_seconds=5)

        async def is_reported() -> bool:
            status = await ReadModel(made.operator).status(timeout_seconds=5)
            return f"messages 1 to {end} have left the log" in (status.log_fault or "")

        await eventually(is_reported, what="the projector reports what is missing", timeout_seconds=20)
        shown = await command(made, "projector", "status")
        assert (shown.status, "ARCHIVE_DIR of the projector is not set" in shown.output) == (1, True)
        for arguments in (("tollgate", "archive"), ("tollgate", "log"), ("projector", "verify")):
            found = await command(made, *arguments)
            assert (found.status != 0, f"the log begins at {end + 1}" in found.errors) == (True, True), arguments


async def test_a_changed_byte_is_located_in_a_block_of_the_stream_and_in_the_read_model(tmp_path: Path) -> None:
    archive, mark = tmp_path / "archive", "the byte that changes"
    async with projector_environment(tmp_path, ARCHIVE_DIR=str(archive)) as made:
        for number in range(4):
            await made.pay(100 + number)
        await eventually_archived(made)
        assert (await command(made, "tollgate", "archive", "--cut")).status == 0
        correlation_id, stamp_us = str(uuid4()), made.stamp()
        await made.charge(correlation_id, "default", 500, stamp_us)
        changed = await made.append(
            PaymentRequested(correlation_id, 500, now_us()),
            PaymentRouted(correlation_id, 500, 1, "default", stamp_us, mark),
        )
        await made.append(PaymentProcessed(correlation_id, 500, 1, "default", stamp_us, stamp_us + 5))
        await made.pay(7)
        await verified(made)
        assert made.projector.stop() == 0

        model = made.settings.model_path
        content, block_at = model.read_bytes(), block_with_rows(model)
        at = block_at + 5_000
        model.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        found = await command(made, "projector", "verify")
        assert (found.status, f"in block at location {block_at}" in found.errors) == (2, True), found.errors
        model.write_bytes(content)
        assert (await command(made, "projector", "verify")).status == 0

        assert made.server.stop() is not None
        change_byte(made.server.store, mark.encode())
        made.server.start()
        await made.server.ready()
        found = await command(made, "projector", "verify")
        assert (found.status, f"messages {changed} to {changed}" in found.output) == (1, True), found.output
        archived = await command(made, "tollgate", "archive")
        assert (archived.status, f"messages {changed} of the log" in archived.errors) == (1, True), archived.errors


async def test_payments_flow_while_the_log_is_archived_and_cut(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    async with projector_environment(tmp_path, ARCHIVE_DIR=str(archive)) as made:
        done = asyncio.Event()
        paid: list[str] = []

        async def pay() -> None:
            while not done.is_set():
                paid.append(await made.pay(100 + len(paid)))

        paying = asyncio.ensure_future(pay())
        try:
            cuts, killed = 0, False
            while cuts < 2:
                cut = await command(made, "tollgate", "archive", "--cut")
                assert cut.status == 0, cut.errors
                cuts += (await made.operator.log_state(timeout_seconds=5)).first_sequence > 1
                if not killed:
                    killed = await is_killed_after_closing(made)
        finally:
            done.set()
            await paying
        messages = await messages_of(made, archived=True)
        assert [one.sequence for one in messages] == list(range(1, len(paid) * 3 + 1))
        (archive_line, *_) = [line for line in await verified(made) if line.startswith("The head")]
        assert archive_line == f"The head of the archive is {open_archive(archive).head}."
        rebuilt = await command(made, "projector", "rebuild")
        assert (rebuilt.status, "0 differences" in rebuilt.output) == (0, True), rebuilt.errors


async def is_killed_after_closing(made: ProjectorEnvironment) -> bool:
    """Kills a command with --cut when it has closed its stretches: while it checks, asks or purges."""
    running = await asyncio.create_subprocess_exec(
        *(str(BIN / "tollgate"), "archive", "--cut"),
        env=os.environ | made.variables | {"ARCHIVE_DIR": str(made.folder / "archive"), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert running.stdout is not None
    async for line in running.stdout:
        if b"stretches, head" in line:
            break
    is_running = running.returncode is None
    if is_running:
        running.kill()
    await running.wait()
    open_archive(made.folder / "archive").check()
    return is_running


async def test_it_archives_again_and_again_and_goes_on_after_a_failure(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    async with projector_environment(tmp_path, ARCHIVE_DIR=str(archive)) as made:
        running = await asyncio.create_subprocess_exec(
            *(str(BIN / "tollgate"), "archive", "--every", "1", "--messages-min", "9"),
            env=os.environ | made.variables | {"ARCHIVE_DIR": str(archive)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            for number in range(3):
                await made.pay(100 + number)
            await made.pay(7)
            archive.mkdir(exist_ok=True)
            with (archive / "lock").open("w") as lock:
                # One run at least finds the archive in use.
                await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
                assert running.stderr is not None
                assert b"another command archives" in await asyncio.wait_for(running.stderr.readline(), EXIT_SECONDS)

            async def is_archived() -> bool:
                return await asyncio.to_thread(lambda: open_archive(archive).last_sequence) == 9

            await eventually(is_archived, what="the first nine messages are archived", timeout_seconds=60)
            # Less than the smallest stretch is left.
            assert len(open_archive(archive).stretches) == 1
        finally:
            running.terminate()
            assert await running.wait() != 0
        again = await run(
            "tollgate", "archive", "--messages-min", "9", variables=made.variables | {"ARCHIVE_DIR": str(archive)}
        )
        assert (again.status, len(open_archive(archive).stretches)) == (0, 1)
