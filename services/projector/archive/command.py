"""`tollgate archive`: closes what can be closed, checks the archive, and lets what is archived leave the stream."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tollgate.archive.errors import ArchiveError
from tollgate.archive.folder import Archive, open_archive
from tollgate.archive.last_run import record_run
from tollgate.archive.whole_log import check_joins
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.operator_command import CommandError, broker_for_command, load_for_command, run_command
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.projector.archive.closing import CUT_SECONDS_MAX, Closing, end_of_closing
from tollgate.projector.archive.ended import EndedPayments, ended_payments
from tollgate.projector.live.files import LockedError, locked
from tollgate.projector.live.store import UnusableFileError
from tollgate.projector.read.readonly import model_file
from tollgate.projector.settings import Settings
from tollgate.runtime.cli import Command, Number, WholeNumber
from tollgate.runtime.errors import BrokerError, FatalError

STRETCH_MESSAGES_MAX = 100_000
RUN_SECONDS_MAX = 3_600.0
STATUS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asked for."""

    cut: bool = False
    messages_max: int = STRETCH_MESSAGES_MAX
    messages_min: int = 1
    seconds_max: float = RUN_SECONDS_MAX


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
@click.option(
    "--messages-min",
    type=WholeNumber(1, 1_000_000),
    default=1,
    show_default=True,
    help="Messages that would make a smaller stretch wait for the next run.",
)
@click.option(
    "--seconds-max",
    type=Number(min=1),
    default=RUN_SECONDS_MAX,
    show_default=True,
    help="After so long no further stretch is begun; the next run goes on.",
)
@click.option("--every", "interval_seconds", type=Number(min=1), help="Archive again after so many seconds, for ever.")
def archive(*, folder: Path | None, check: bool, interval_seconds: float | None, **options: Any) -> None:
    """Closes the log's earlier stretches into an archive.

    They end before the oldest payment that has not ended. Each is written, read back and compared with the stream. What
    an interrupted run left is removed by the next one, which goes on at the archive's end. Exits with 1 when nothing
    could be archived or a file was changed. With --every such a failure is printed, and the next run tries again.
    """
    run_command(lambda: _archive(folder, Options(**options), check=check, interval_seconds=interval_seconds))


async def _archive(folder: Path | None, options: Options, *, check: bool, interval_seconds: float | None) -> int:
    settings = load_for_command(Settings)
    folder = folder or settings.archive_dir
    if folder is None:
        raise CommandError("no folder for the archive: --to, or ARCHIVE_DIR")
    if check:
        return await _check(folder)
    if options.cut and (settings.archive_dir is None or settings.archive_dir.absolute() != folder.absolute()):
        raise CommandError(
            "--cut needs ARCHIVE_DIR, set for the projector too: the log is not whole without its archive"
        )
    while interval_seconds is not None:
        began = time.monotonic()
        try:
            await _run_once(settings, folder, options, interval_seconds)
        except (CommandError, FatalError, BrokerError, ReadModelUnavailableError, OSError) as error:
            click.echo(str(error), err=True)
        await asyncio.sleep(max(began + interval_seconds - time.monotonic(), 0))
    await _run_once(settings, folder, options, None)
    return 0


async def _run_once(settings: Settings, folder: Path, options: Options, interval_seconds: float | None) -> None:
    """Archives once, and records what that came to for the metrics of the projector."""
    with _alone(folder):
        try:
            async with broker_for_command(settings) as broker:
                archived = await archive_log(settings, broker, folder, options)
                if options.cut:
                    await cut_log(broker, archived)
        except Exception as error:
            record_run(folder, ended_at_us=now_us(), error=str(error), interval_seconds=interval_seconds)
            raise
        record_run(folder, ended_at_us=now_us(), error=None, interval_seconds=interval_seconds)


async def archive_log(settings: Settings, broker: Broker, folder: Path, options: Options) -> Archive:
    """Closes all stretches that can be closed, and prints them. Raises ArchiveError, CommandError and BrokerError."""
    stop_at = time.monotonic() + options.seconds_max
    archived = await asyncio.to_thread(open_archive, folder)
    log = await check_joins(broker, archived)
    if archived.stretches and log.first_sequence > archived.last_sequence + 1:
        raise ArchiveError(
            f"the ledger was purged at {log.first_sequence}, so what {folder} holds is void: name a new folder"
        )
    async with model_file(settings) as model:
        with _ended(model.path) as ended:
            # Asked later than the copy of the read model was made: payments go on.
            log = await broker.log_state(timeout_seconds=STATUS_SECONDS)
            if (contradiction := ended.mark().contradiction(log)) is not None:
                raise CommandError(f"{contradiction}; the read model is of another log than the broker's")
            end = await end_of_closing(broker, ended)
            closing = Closing(broker, ended, log, messages_max=options.messages_max, messages_min=options.messages_min)
            while time.monotonic() < stop_at and (longer := await closing.close_next(archived, end)) is not None:
                archived = longer
                manifest = archived.stretches[-1].manifest
                click.echo(
                    f"archived {manifest.first_sequence} to {manifest.last_sequence}:"
                    f" {manifest.messages} messages, {manifest.settled} payments settled"
                )
    click.echo(described(archived))
    return archived


async def cut_log(broker: Broker, archived: Archive) -> None:
    """Removes from the stream what is in the archive, once its bytes are as they were written.

    The projector that answers has to read the same archive. Raises ArchiveError, CommandError, BrokerError and
    ReadModelUnavailableError.
    """
    log = await check_joins(broker, archived)
    await asyncio.to_thread(archived.check, log.first_sequence)
    if archived.stretches:
        await _check_projector(broker, archived)
        await Log(broker).purge_before(archived.last_sequence + 1, timeout_seconds=CUT_SECONDS_MAX)
    log = await check_joins(broker, archived)
    click.echo(f"the stream now begins at {log.first_sequence}")


async def _check_projector(broker: Broker, archived: Archive) -> None:
    status = await ReadModel(broker).status(timeout_seconds=STATUS_SECONDS)
    if status.archive is None or status.archive.head != archived.head:
        seen = "none" if status.archive is None else f"one with the head {status.archive.head}"
        raise CommandError(
            f"nothing was cut: {archived.folder} has the head {archived.head}, and the projector that answers reads"
            f" another archive ({seen}): set its ARCHIVE_DIR, and restart it"
        )


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
    return f"{archived.folder}: {archived.end}"


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
