"""The commands on the log: `tollgate log`, `backup`, `restore`, `replay`, `nats-url`."""

import os
from pathlib import Path

import click

from tollgate.messaging.operator_command import (
    Moment,
    broker_for_command,
    load_for_command,
    run_command,
)
from tollgate.ops.backup import META_FILE, Account, back_up
from tollgate.ops.check_backup import check_backup
from tollgate.ops.log_view import Choice, show_log
from tollgate.ops.restore import restore_with_archive
from tollgate.runtime.cli import WholeNumber
from tollgate.stack.command import StackCommand
from tollgate.stack.errors import NotRunningError
from tollgate.stack.settings import Environment, Settings, read_settings


@click.command("nats-url", cls=StackCommand)
def nats_url() -> None:
    """Prints the broker's URL with the operator's password.

    For the nats CLI: NATS_URL="$(tollgate nats-url)" nats stream view PAYMENTS
    """
    click.echo(_broker().nats_url)


@click.command(cls=StackCommand)
@click.option("--id", "correlation_id", type=click.UUID, help="Only events of this payment.")
@click.option("--from", "from_us", type=Moment(is_lower_bound=True), help="Only events stored at this time or later.")
@click.option("--to", "to_us", type=Moment(), help="Only events stored at this time or earlier.")
@click.option("--from-sequence", type=WholeNumber(min=1), help="Only events from this sequence on.")
@click.option("--count", type=WholeNumber(min=1), help="At most this many; without other bounds the last ones (20).")
@click.option("-f", "--follow", is_flag=True, help="Continue with new events until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def log(*, correlation_id: object, as_json: bool, **choice: int | None) -> None:
    """Shows the events of the log."""
    wanted = Choice(correlation_id=str(correlation_id) if correlation_id else None, **choice)  # type: ignore[arg-type]
    address = _broker()
    run_command(lambda: show_log(address, wanted, as_json=as_json, archive_dir=address.archive_dir))


@click.command(cls=StackCommand)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Restore the backup into a temporary broker and read every message.")
def backup(folder: Path, *, check: bool) -> None:
    """Backs up the log while everything runs.

    FOLDER must be new. With --check and a FOLDER that holds a backup, only that backup is checked. Exits with 1 when
    messages of the log are missing.
    """
    if check and (folder / META_FILE).exists():
        run_command(lambda: _check(folder, load_for_command(Environment).archive_dir))
    run_command(lambda: _back_up(_broker(), folder, check=check))


@click.command(cls=StackCommand)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--allow-open", is_flag=True, help="Restore also when payments of the backup have not ended.")
@click.option("--replicas", type=WholeNumber(1, 5), help="Replicas of the log in a cluster.  [default: the backup's]")
@click.option(
    "--set-aside-later",
    "sets_later_aside",
    is_flag=True,
    help="Move what was archived after the backup to a folder of its own, and go on without it.",
)
def restore(folder: Path, *, allow_open: bool, replicas: int | None, sets_later_aside: bool) -> None:
    """Restores a backup where there is no log.

    The log of FOLDER becomes that of the broker of NATS_URL, or else of DATA_DIR, on which no stack may run. With
    ARCHIVE_DIR the backup and the archive become one log again. Every byte of both is read and checked first.
    """
    run_command(
        lambda: _restore(
            _settings(), folder, allow_open=allow_open, replicas=replicas, sets_later_aside=sets_later_aside
        )
    )


@click.command(cls=StackCommand)
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--stay", is_flag=True, help="Keep the stack running until Ctrl-C.")
def replay(folder: Path | None, *, stay: bool) -> None:
    """Builds a temporary stack from a backup and compares the summaries.

    Nothing is charged. Without FOLDER, the backup is made first, from simulated payments. Exits with 1 when the
    summaries differ.
    """
    # It brings aiohttp along, which the other commands do without.
    from tollgate.ops.replay import replay as replay_backup  # noqa: PLC0415

    archive_dir = load_for_command(Environment).archive_dir
    run_command(lambda: replay_backup(folder, click.echo, stay=stay, archive_dir=archive_dir))


async def _back_up(address: Environment, folder: Path, *, check: bool) -> int:
    async with broker_for_command(address) as broker:
        account = await back_up(broker, folder, check=check, archive_dir=address.archive_dir)
    click.echo(f"{folder}: {_described(account)}")
    if check:
        return await _check(folder, address.archive_dir)
    return _exit_status(account)


async def _check(folder: Path, archive_dir: Path | None) -> int:
    account = await check_backup(folder, archive_dir)
    click.echo(f"{folder} was restored elsewhere and read through: {_described(account)}")
    return _exit_status(account)


async def _restore(
    settings: Settings, folder: Path, *, allow_open: bool, replicas: int | None, sets_later_aside: bool
) -> int:
    account, later = await restore_with_archive(
        settings, folder, allow_open=allow_open, replicas=replicas, sets_later_aside=sets_later_aside
    )
    click.echo(f"restored: {_described(account)}")
    if later is not None:
        click.echo(f"what was archived later than the backup is in {later}")
    return 0


def _exit_status(account: Account) -> int:
    return 1 if account.unread or account.begins_at or account.archive_fault else 0


def _described(account: Account) -> str:
    settled = sum(total.count for total in account.settled.values())
    return (
        f"the log up to {account.last_sequence}; {settled} payments settled, {account.rejected} rejected,"
        f" {account.open} open"
        + (f"; archived: {account.archive}" if account.archive is not None else "")
        + (
            f"; it begins at {account.begins_at}, and what was before is not counted (ARCHIVE_DIR)"
            if account.begins_at
            else ""
        )
        + (f"; {account.archive_fault}" if account.archive_fault else "")
        + (f"; {account.set_aside} messages set aside that are not valid" if account.set_aside else "")
        + (f"; the log is damaged, messages {account.missing} are missing" if account.unread else "")
    )


def _broker() -> Environment:
    """That of NATS_URL, or else of the stack that runs on DATA_DIR. Raises NotRunningError where there is neither."""
    address = load_for_command(Environment)
    if not address.nats_url:
        raise NotRunningError(f"no stack runs on {address.data_dir.absolute()}, and NATS_URL names no broker elsewhere")
    return address


def _settings() -> Settings:
    return read_settings(dict(os.environ))
