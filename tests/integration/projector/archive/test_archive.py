"""The log in archive and stream, with a real broker, projector and DuckDB."""

import asyncio
import os
import subprocess
from asyncio.subprocess import Process
from functools import partial
from pathlib import Path

import pytest

from tests.support.commands import Ended, run_command
from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.projector_environment import ProjectorEnvironment, projector_environment
from tollgate.archive.errors import ArchiveError
from tollgate.archive.folder import DIGEST_FILE, MANIFEST_FILE, digest_of, open_archive
from tollgate.archive.last_run import read_last_run
from tollgate.archive.manifest import FILES
from tollgate.archive.whole_log import whole_log
from tollgate.contract.events import PaymentRequested
from tollgate.contract.read_model_api import Summary, SummaryQuestion
from tollgate.contract.timestamps import now_us
from tollgate.messaging.history import stretch
from tollgate.messaging.read_model_client import ReadModel
from tollgate.messaging.stored_message import StoredMessage

PAYMENTS = 30
ENDED_MESSAGES = PAYMENTS * 3


async def command(made: ProjectorEnvironment, program: str, *arguments: str) -> Ended:
    variables = made.variables | {"ARCHIVE_DIR": str(made.folder / "archive")}
    if program == "projector" and arguments[0] == "rebuild":
        variables["NATS_URL"] = made.server.url("projector")
    return await run(program, *arguments, variables=variables)


async def run(program: str, *arguments: str, variables: dict[str, str]) -> Ended:
    return await asyncio.to_thread(lambda: run_command(program, *arguments, folder=None, **variables))


async def messages_of(made: ProjectorEnvironment, *, archived: bool) -> list[StoredMessage]:
    log = await made.operator.log_state(timeout_seconds=5)
    whole = await whole_log(made.operator, made.folder / "archive")
    batches = whole.stretch(1, log.last_sequence) if archived else stretch(made.operator, 1, log.last_sequence)
    return [one async for batch in batches for one in batch]


async def summary_at(made: ProjectorEnvironment, as_of_us: int) -> Summary:
    question = SummaryQuestion(None, None, as_of_us=as_of_us)
    return await ReadModel(made.operator).summary(question, timeout_seconds=10)


async def test_a_log_cut_to_a_tenth_is_read_as_before(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    async with projector_environment(tmp_path, ARCHIVE_DIR=str(archive)) as made:
        for number in range(PAYMENTS):
            await made.pay(100 + number, "fallback" if number % 3 == 0 else "default")
            if number == PAYMENTS // 2:
                half_us = now_us()
        await made.append(PaymentRequested("0" * 8 + "-0000-4000-8000-" + "0" * 12, 7, now_us()))
        for number in range(3):
            await made.pay(100 + number)
        before = await messages_of(made, archived=False)
        half, rows = await summary_at(made, half_us), await verified(made)
        shown = await command(made, "tollgate", "log", "--from-sequence", "1", "--json")
        assert len(shown.output.splitlines()) == len(before)

        refused = await run("tollgate", "archive", "--cut", "--to", str(archive), variables=made.variables)
        assert (refused.status, "--cut needs ARCHIVE_DIR" in refused.line) == (1, True)

        closed = await command(made, "tollgate", "archive", "--messages-max", "40")
        assert closed.status == 0, closed.errors
        opened = open_archive(archive)
        ends = [(one.manifest.first_sequence, one.manifest.last_sequence) for one in opened.stretches]
        # An open request ends what can be closed.
        assert ends == [(1, 40), (41, 80), (81, ENDED_MESSAGES)]
        assert sum(one.manifest.settled for one in opened.stretches) == PAYMENTS
        assert await messages_of(made, archived=True) == before
        assert (await made.operator.log_state(timeout_seconds=5)).first_sequence == 1
        again = await command(made, "tollgate", "archive")
        assert (again.status, again.line) == (0, closed.output.splitlines()[-1])

        cut = await command(made, "tollgate", "archive", "--cut")
        assert cut.status == 0, cut.errors
        assert f"the stream now begins at {ENDED_MESSAGES + 1}" in cut.output
        assert await messages_of(made, archived=True) == before
        assert await messages_of(made, archived=False) == before[ENDED_MESSAGES:]
        assert await summary_at(made, half_us) == half
        assert await verified(made) == [*rows, f"The head of the archive is {opened.head}."]
        assert (await command(made, "tollgate", "log", "--from-sequence", "1", "--json")).output == shown.output
        rebuilt = await command(made, "projector", "rebuild")
        assert rebuilt.status == 0, rebuilt.errors
        assert "0 differences" in rebuilt.output
        assert f"{len(before)} messages" in rebuilt.output
        await made.pay(5)
        without = await run(
            "projector", "rebuild", variables=made.variables | {"NATS_URL": made.server.url("projector")}
        )
        assert (without.status, "set ARCHIVE_DIR" in without.line) == (1, True)


async def verified(made: ProjectorEnvironment) -> list[str]:
    """What `projector verify` prints, but for its first line, which has the time."""
    found = await command(made, "projector", "verify")
    assert found.status == 0, found.output + found.errors
    lines = found.output.splitlines()[1:]
    # The line about the head is before the last one.
    return [one for one in lines if not one.startswith("The head")] + [
        one for one in lines if one.startswith("The head")
    ]


async def test_a_changed_byte_is_found_in_each_kind_of_file_and_located(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    async with projector_environment(tmp_path) as made:
        for number in range(4):
            await made.pay(100 + number)
        await eventually_archived(made, "--messages-max", "6")
        stretches = open_archive(archive).stretches
        assert len(stretches) > 1
        for stretch_ in stretches:
            folder = open_archive(archive).path_of(stretch_.manifest)
            for name in (*FILES, MANIFEST_FILE, DIGEST_FILE):
                path = folder / name
                content = path.read_bytes()
                at = len(content) // 2
                path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
                with pytest.raises(ArchiveError, match=rf"{folder.name}.*{name}"):
                    open_archive(archive).check()
                path.write_bytes(content)
        # A manifest and its digest changed together: the next manifest has another digest of it.
        first = open_archive(archive).path_of(stretches[0].manifest)
        changed = (first / MANIFEST_FILE).read_bytes().replace(b'"settled": ', b'"settled": 1')
        kept = [(path, path.read_bytes()) for path in (first / MANIFEST_FILE, first / DIGEST_FILE)]
        (first / MANIFEST_FILE).write_bytes(changed)
        (first / DIGEST_FILE).write_text(f"{digest_of(first / MANIFEST_FILE)}\n")
        found = await command(made, "tollgate", "archive", "--check")
        assert (found.status, f"the stretch {first.name} was changed" in found.line) == (1, True)
        for path, content in kept:
            path.write_bytes(content)
        assert "Every byte is as it was archived." in (await command(made, "tollgate", "archive", "--check")).output

        succeeded = read_last_run(archive)
        assert succeeded is not None
        assert succeeded.error is None
        assert succeeded.succeeded_at_us == succeeded.ended_at_us
        # A changed archive is not cut from the stream.
        messages = first / FILES[0]
        messages.write_bytes(messages.read_bytes()[:-1] + b"?")
        cut = await command(made, "tollgate", "archive", "--cut")
        assert (cut.status, f"{messages} was changed" in cut.errors) == (1, True)
        failed = read_last_run(archive)
        assert failed is not None
        assert failed.error is not None
        assert f"{messages} was changed" in failed.error
        assert failed.succeeded_at_us == succeeded.succeeded_at_us < failed.ended_at_us
        assert (await made.operator.log_state(timeout_seconds=5)).first_sequence == 1


async def test_a_killed_run_leaves_a_whole_archive_and_the_next_goes_on(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    async with projector_environment(tmp_path, ARCHIVE_DIR=str(archive)) as made:
        for number in range(10):
            await made.pay(100 + number)
        before = await messages_of(made, archived=False)
        environment = os.environ | made.variables | {"ARCHIVE_DIR": str(archive)}
        kills = 0
        # Each killed command leaves its copy of the read model, of which the projector allows a few.
        while kills < 2 and open_archive(archive).last_sequence < len(before) - 3:
            begun = len(open_archive(archive).stretches)
            running = await asyncio.create_subprocess_exec(
                *(str(BIN / "tollgate"), "archive", "--messages-max", "3"),
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                await eventually(
                    partial(_is_under_way, running, archive, begun + 2), what="stretches are closed", timeout_seconds=30
                )
            finally:
                if running.returncode is None:
                    running.kill()
                    kills += 1
                await running.wait()
            opened = open_archive(archive)
            opened.check()
            assert [one for batch in opened.messages(1, opened.last_sequence) for one in batch] == (
                before[: opened.last_sequence]
            )
        assert kills == 2
        await eventually_archived(made)
        assert list(archive.glob("*.new")) == []
        assert await messages_of(made, archived=True) == before
        (archive / "0000000000000000100.new").mkdir()
        cut = await command(made, "tollgate", "archive", "--cut")
        assert cut.status == 0, cut.errors
        again = await command(made, "tollgate", "archive", "--cut")
        assert again.output.splitlines()[-1] == cut.output.splitlines()[-1]
        assert await messages_of(made, archived=True) == before


async def test_an_archive_of_another_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    async with projector_environment(tmp_path / "one") as made:
        await made.pay(100)
        await made.pay(101)
        await eventually_archived(made)
    (tmp_path / "one" / "archive").rename(tmp_path / "other" / "archive")
    async with projector_environment(tmp_path / "other") as made:
        await made.pay(100)
        await made.pay(101)
        for arguments in (("archive",), ("archive", "--cut"), ("log",)):
            found = await command(made, "tollgate", *arguments)
            assert (found.status, "of another log" in found.line) == (1, True)
        with pytest.raises(ArchiveError, match="another log"):
            await whole_log(made.operator, made.folder / "archive")


async def _is_under_way(running: Process, archive: Path, stretches: int) -> bool:
    """Whether so many stretches are closed and the next one is being written, or the command has ended."""
    names = await asyncio.to_thread(_names_in, archive)
    is_writing = any(one.endswith(".new") for one in names)
    return running.returncode is not None or (is_writing and sum(one.isdecimal() for one in names) >= stretches)


def _names_in(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()] if folder.is_dir() else []


async def eventually_archived(made: ProjectorEnvironment, *arguments: str) -> None:
    """Archives all payments but the last: the newest request stays in the stream."""
    newest = (await made.operator.log_state(timeout_seconds=5)).last_sequence - 2

    async def archives_all() -> bool:
        found = await command(made, "tollgate", "archive", *arguments)
        assert found.status == 0, found.errors
        return open_archive(made.folder / "archive").last_sequence == newest - 1

    await eventually(archives_all, what="everything is archived", timeout_seconds=60)
