"""The operator commands of the projector: status, verify, export, query."""

from pathlib import Path

import click

from tollgate.contract.read_model_health import Bounds
from tollgate.messaging.operator_command import Moment, load_for_command, run_command, waiting_options
from tollgate.projector.read.export import TABLES, export
from tollgate.projector.read.query import FORMS, show_query
from tollgate.projector.read.status import show_status
from tollgate.projector.settings import Settings, VerifySettings
from tollgate.runtime.cli import Command, Number, WholeNumber

_from = click.option(
    "--from", "from_us", type=Moment(is_lower_bound=True), help="Only charges requested at or after this time."
)
_to = click.option("--to", "to_us", type=Moment(), help="Only charges requested at or before this time.")
_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def add_operator_commands(group: click.Group) -> None:
    """Adds the operator commands to the `projector` program."""
    for command in (status, verify_, export_, query):
        group.add_command(command)


@click.command(cls=Command)
@_json
@click.option("--lag-seconds-max", default=5.0, show_default=True, help="The status is bad beyond this lag.")
@waiting_options
def status(*, as_json: bool, lag_seconds_max: float, oldest_seconds_max: float, doubt_seconds_max: float) -> None:
    """Shows the state of the running projector, and whether payments wait.

    Exits with 1 when it is further behind the log than --lag-seconds-max, when its read model is of another log than
    the broker's, when a payment that could be charged waits for longer than --oldest-seconds-max or is in doubt for
    longer than --doubt-seconds-max, or when no projector answers.
    """
    bounds = Bounds(lag_seconds_max, oldest_seconds_max, doubt_seconds_max)
    run_command(lambda: show_status(_settings(), bounds, as_json=as_json))


@click.command("verify", cls=Command)
@_from
@_to
@_json
@click.option(
    "--every-payment", is_flag=True, help="Looks up each payment at both providers, even where the totals agree."
)
@click.option("--differences-max", default=100, show_default=True, help="How many differences are listed.")
def verify_(
    *, from_us: int | None, to_us: int | None, as_json: bool, every_payment: bool, differences_max: int
) -> None:
    """Compares the read model with the log, and the log with both providers' records.

    Exits with 0 when they are equal, 1 when they differ, and 2 when the comparison could not be made.
    """
    # It brings aiohttp along, which the running projector does without.
    from tollgate.projector.verify.command import Options, show_verification  # noqa: PLC0415

    options = Options(from_us, to_us, every_payment, differences_max)
    run_command(
        lambda: show_verification(_settings(), load_for_command(VerifySettings), options, as_json=as_json),
        failure_status=2,
    )


@click.command("export", cls=Command)
@click.option("--table", type=click.Choice(sorted(TABLES)), default="settled", show_default=True)
@click.option("--format", "form", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write.")
@_from
@_to
@click.option("--force", is_flag=True, help="Overwrites an existing file.")
def export_(*, table: str, form: str, out: Path, from_us: int | None, to_us: int | None, force: bool) -> None:
    """Writes settled or rejected payments to a file."""
    run_command(lambda: export(_settings(), table, out, form=form, from_us=from_us, to_us=to_us, force=force))


@click.command(cls=Command)
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(list(FORMS)), default="table", show_default=True)
@click.option("--rows-max", type=WholeNumber(1, 1_000_000), default=1_000, show_default=True)
@click.option("--seconds-max", type=Number(0, 3_600, min_open=True), default=30.0, show_default=True)
def query(*, sql: str, form: str, rows_max: int, seconds_max: float) -> None:
    """Runs one SELECT on the tables `settled_payments` and `rejected_payments`."""
    run_command(lambda: show_query(_settings(), sql, form=form, rows_max=rows_max, seconds_max=seconds_max))


def _settings() -> Settings:
    return load_for_command(Settings)
