"""The command line. Settings come from the environment (stack.settings)."""

import os
import sys
from pathlib import Path

import click

from tollgate.messaging.operator_command import (
    BrokerSettings,
    Moment,
    broker_for_command,
    load_for_command,
    run_command,
)
from tollgate.ops.backup import META_FILE, Account, back_up
from tollgate.ops.log_view import Choice, show_log
from tollgate.ops.replay import replay
from tollgate.ops.restore import restore_log
from tollgate.runtime.cli import Group, WholeNumber
from tollgate.runtime.errors import FatalError
from tollgate.stack import banner
from tollgate.stack.checking import check_backup
from tollgate.stack.errors import NotRunningError, StackError
from tollgate.stack.launcher import run_stack
from tollgate.stack.settings import Environment, Settings, read_settings
from tollgate.stack.supervision import ask_states


class _Group(Group):
    """Shows an error of ours as its line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (StackError, FatalError) as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            # A disk that is full, or turned read-only; what the command was about is in the name of the file.
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from error


@click.group(cls=_Group)
def main() -> None:
    """Runs all of Tollgate on this machine. Stopping and starting it again continues with the same data."""


@main.command()
def run() -> None:
    """Starts everything, says when it is ready, and stops everything on Ctrl-C."""
    sys.exit(run_stack(_settings(), click.echo))


@main.command()
def status() -> None:
    """Shows each program's state; exits with 1 unless all run."""
    states = ask_states(_settings())
    click.echo(banner.status(states))
    sys.exit(any(state.state != "RUNNING" for state in states))


@main.command()
def nats_url() -> None:
    """Prints the broker's URL with the operator's password: NATS_URL="$(stack nats-url)" nats stream view PAYMENTS."""
    click.echo(_broker().nats_url)


@main.command("log")
@click.option("--id", "correlation_id", type=click.UUID, help="Only the events of this payment.")
@click.option("--from", "from_us", type=Moment(is_lower_bound=True), help="Only what was stored then or later.")
@click.option("--to", "to_us", type=Moment(), help="Only what was stored then or earlier.")
@click.option("--from-sequence", type=WholeNumber(min=1), help="Only that event and later ones.")
@click.option("--count", type=WholeNumber(min=1), help="So many; of the last (20), where no bound says which.")
@click.option("-f", "--follow", is_flag=True, help="Goes on with new events until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def log(*, correlation_id: object, as_json: bool, **choice: int | None) -> None:
    """Shows the events of the log."""
    wanted = Choice(correlation_id=str(correlation_id) if correlation_id else None, **choice)  # type: ignore[arg-type]
    run_command(lambda: show_log(_broker(), wanted, as_json=as_json))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Reads the backup through in a broker of its own; also one that is there.")
def backup(folder: Path, *, check: bool) -> None:
    """Writes a backup of the log into a new FOLDER, while everything goes on.

    With --check and a FOLDER that holds a backup, that one is checked. Exits with 1 when messages of the log are
    missing.
    """
    if check and (folder / META_FILE).exists():
        run_command(lambda: _check(folder))
    run_command(lambda: _back_up(_broker(), folder, check=check))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--allow-open", is_flag=True, help="Also where payments of the backup have not ended.")
@click.option("--replicas", type=WholeNumber(1, 5), help="Copies in a cluster, in place of the backup's.")
def restore(folder: Path, *, allow_open: bool, replicas: int | None) -> None:
    """Makes the backup in FOLDER the log, where there is none: of a stack that is stopped, or of NATS_URL's broker."""
    run_command(lambda: _restore(_settings(), folder, allow_open=allow_open, replicas=replicas))


@main.command("replay")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--stay", is_flag=True, help="Leaves the stack running until Ctrl-C.")
def replay_(folder: Path | None, *, stay: bool) -> None:
    """Builds a stack from the backup in FOLDER, in a temporary place, and compares its summary with the backup's.

    It charges nothing. Without FOLDER it makes a backup of its own first. Exits with 1 when the summaries differ.
    """
    run_command(lambda: replay(folder, click.echo, stay=stay))


async def _back_up(address: BrokerSettings, folder: Path, *, check: bool) -> int:
    async with broker_for_command(address) as broker:
        account = await back_up(broker, folder, check=check)
    click.echo(f"{folder}: {_described(account)}")
    if check:
        return await _check(folder)
    return 1 if account.unread else 0


async def _check(folder: Path) -> int:
    account = await check_backup(folder)
    click.echo(f"{folder} was restored elsewhere and read through: {_described(account)}")
    return 1 if account.unread else 0


async def _restore(settings: Settings, folder: Path, *, allow_open: bool, replicas: int | None) -> int:
    account = await restore_log(settings, folder, allow_open=allow_open, replicas=replicas)
    click.echo(f"restored: {_described(account)}")
    return 0


def _described(account: Account) -> str:
    settled = sum(total.count for total in account.settled.values())
    return (
        f"the log up to {account.last_sequence}; {settled} payments settled, {account.rejected} rejected,"
        f" {account.open} open"
        + (f"; {account.set_aside} messages set aside that are not valid" if account.set_aside else "")
        + (f"; the log is damaged, messages {account.missing} are missing" if account.unread else "")
    )


def _broker() -> BrokerSettings:
    """That of NATS_URL, or else of the stack that runs on DATA_DIR. Raises NotRunningError where there is neither."""
    address = load_for_command(Environment)
    if not address.nats_url:
        raise NotRunningError(f"no stack runs on {address.data_dir.absolute()}, and NATS_URL names no broker elsewhere")
    return address


def _settings() -> Settings:
    return read_settings(dict(os.environ))
