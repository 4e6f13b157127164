"""`tollgate archive`: closes what can be closed, checks the archive, and lets what is archived leave the stream."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tollgate.archive.errors import ArchiveError
from tollgate.archive.folder import Archive, open_archive
from tollgate.archive.whole_log import check_joins
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.operator_command import CommandError, broker_for_command, load_for_command, run_command
from tollgate.projector.archive.closing import CUT_SECONDS_MAX, Closing, end_of_closing
from tollgate.projector.archive.ended import EndedPayments, ended_payments
from tollgate.projector.live.files import LockedError, locked
from tollgate.projector.live.store import UnusableFileError
from tollgate.projector.read.readonly import model_file
from tollgate.projector.settings import Settings
from tollgate.runtime.cli import Command, WholeNumber

STRETCH_MESSAGES_MAX = 100_000


@click.command(cls=Command)
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), help="The folder of the archive.  [default: ARCHIVE_DIR]"
)
@click.option("--check", is_flag=True, help="Only read the archive through, and name the file that was changed.")
@click.option("--cut", is_flag=True, help="Let what is archived and checked leave the stream.")
@click.option(
    "--messages-max",
    type=WholeNumber(1, 1_000_000),
    default=STRETCH_MESSAGES_MAX,
    show_default=True,
    help="The largest number of messages in one stretch.",
)
def archive(*, folder: Path | None, check: bool, cut: bool, messages_max: int) -> None:
    """Closes the log's earlier stretches into an archive.

    They end before the oldest payment that has not ended. Each is written, read back and compared with the stream. What
    an interrupted run left is removed by the next one, which goes on at the archive's end. Exits with 1 when nothing
    could be archived or a file was changed.
    """
    run_command(lambda: _archive(load_for_command(Settings), folder, check=check, cut=cut, messages_max=messages_max))


async def _archive(settings: Settings, folder: Path | None, *, check: bool, cut: bool, messages_max: int) -> int:
    folder = folder or settings.archive_dir
    if folder is None:
        raise CommandError("no folder for the archive: --to, or ARCHIVE_DIR")
    if check:
        return await _check(folder)
    if cut and (settings.archive_dir is None or settings.archive_dir.absolute() != folder.absolute()):
        raise CommandError(
            "--cut needs ARCHIVE_DIR, set for the projector too: the log is not whole without its archive"
        )
    with _alone(folder):
        async with broker_for_command(settings) as broker:
            archived = await archive_log(settings, broker, folder, messages_max=messages_max)
            if cut:
                await cut_log(broker, archived)
    return 0


async def archive_log(settings: Settings, broker: Broker, folder: Path, *, messages_max: int) -> Archive:
    """Closes all stretches that can be closed, and prints them. Raises ArchiveError, CommandError and BrokerError."""
    archived = await asyncio.to_thread(open_archive, folder)
    log = await check_joins(broker, archived)
    async with model_file(settings) as model:
        with _ended(model.path) as ended:
            if (contradiction := ended.mark().contradiction(log)) is not None:
                raise CommandError(f"{contradiction}; the read model is of another log than the broker's")
            end = await end_of_closing(broker, ended)
            closing = Closing(broker, ended, log, messages_max=messages_max)
            while (longer := await closing.close_next(archived, end)) is not None:
                archived = longer
                manifest = archived.stretches[-1].manifest
                click.echo(
                    f"archived {manifest.first_sequence} to {manifest.last_sequence}:"
                    f" {manifest.messages} messages, {manifest.settled} payments settled"
                )
    click.echo(described(archived))
    return archived


async def cut_log(broker: Broker, archived: Archive) -> None:
    """Removes from the stream what is in the archive, which is read through first. Raises ArchiveError, BrokerError."""
    await asyncio.to_thread(archived.check)
    await check_joins(broker, archived)
    if archived.stretches:
        await Log(broker).purge_before(archived.last_sequence + 1, timeout_seconds=CUT_SECONDS_MAX)
    log = await check_joins(broker, archived)
    click.echo(f"the stream now begins at {log.first_sequence}")


async def _check(folder: Path) -> int:
    archived = await asyncio.to_thread(open_archive, folder)
    await asyncio.to_thread(archived.check)
    click.echo(described(archived))
    click.echo("Every byte is as it was archived.")
    return 0


def described(archived: Archive) -> str:
    """What the archive holds, in one line."""
    if not archived.stretches:
        return f"{archived.folder}: nothing is archived"
    ends = f"{archived.first_sequence} to {archived.last_sequence}"
    return f"{archived.folder}: {ends} in {len(archived.stretches)} stretches, head {archived.head}"


@contextmanager
def _ended(model: Path) -> Iterator[EndedPayments]:
    try:
        with ended_payments(model) as ended:
            yield ended
    except UnusableFileError as error:
        raise CommandError(f"the read model {error}") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with locked(folder / "lock"):
            yield
    except LockedError:
        raise ArchiveError(f"another command archives to {folder}") from None
