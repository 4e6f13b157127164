"""The commands beside `run`: how charging stands, and settling a doubt by hand."""

import getpass
import os
import socket
from uuid import UUID

import click

from contract.timestamps import InvalidTimestampError, parse_us
from processor import commands
from processor.charging_health import assess
from processor.claims import Claim
from processor.resolving import HOLD_SECONDS, CannotResolveError, hold_seconds_min
from processor.settings import Settings
from processor.status import render_json, render_table
from runtime.cli import Command, Number
from runtime.command import CommandError, load_for_command, run_command, waiting_options

TEXT_CHARACTERS_MAX = 500
"""Of a note: it lies in the log for ever."""


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@waiting_options
def status(*, as_json: bool, oldest_seconds_max: float, doubt_seconds_max: float) -> None:
    """Shows what waits and why, what is in doubt and for how long, and the fees paid and saved.

    Exits with 1 when a payment that could be charged waits for longer than --oldest-seconds-max or is in doubt for
    longer than --doubt-seconds-max, or when the read model does not answer.
    """
    bounds = {"oldest_seconds_max": oldest_seconds_max, "doubt_seconds_max": doubt_seconds_max}
    run_command(lambda: _status(load_for_command(Settings), bounds, as_json=as_json))


async def _status(settings: Settings, bounds: dict[str, float], *, as_json: bool) -> int:
    answers = await commands.ask_status(settings)
    health = assess(answers.charging, answers.facts, answers.now_us, **bounds)
    render = render_json if as_json else render_table
    click.echo(render(answers.charging, answers.facts.queue, health, answers.now_us))
    return 1 if health.troubles else 0


def _moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_us(value)
    except InvalidTimestampError as error:
        raise click.BadParameter(str(error)) from None


def _text(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    text = value.strip()
    if not 1 <= len(text) <= TEXT_CHARACTERS_MAX:
        raise click.BadParameter(f"1 to {TEXT_CHARACTERS_MAX} characters")
    return text


def _whoever_this_is() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container's user may have no name.
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


@click.command(cls=Command)
@click.argument("correlation_id", type=click.UUID)
@click.option("--charged/--not-charged", "is_charged", default=None, help="What became of the attempt.")
@click.option("--note", required=True, callback=_text, help="What you know it from; it stays in the log.")
@click.option("--by", default=_whoever_this_is, callback=_text, help="Who says so; else this user and machine.")
@click.option("--requested-at", callback=_moment, help="With --charged: the stamp of the processor's own record.")
@click.option(
    "--hold-seconds",
    default=HOLD_SECONDS,
    show_default=True,
    type=Number(0, 86_400),
    help="With --not-charged: how long nobody sends the attempt before it counts as not charged.",
)
@click.option("--force", "is_forced", is_flag=True, help="Even against the processor's record, or with a short hold.")
def resolve(
    *,
    correlation_id: UUID,
    is_charged: bool | None,
    note: str,
    by: str,
    requested_at: int | None,
    hold_seconds: float,
    is_forced: bool,
) -> None:
    """Settles a payment in doubt by your word, which is recorded. Read docs/operating.md before the first time."""
    if is_charged is None:
        raise click.UsageError("say --charged or --not-charged")
    if requested_at is not None and not is_charged:
        raise click.UsageError("--requested-at belongs to --charged")
    claim = Claim(is_charged, by, note, requested_at)
    run_command(
        lambda: _resolve(
            load_for_command(Settings, user="processor"),
            str(correlation_id),
            claim,
            hold_seconds=hold_seconds,
            is_forced=is_forced,
        )
    )


async def _resolve(
    settings: Settings, correlation_id: str, claim: Claim, *, hold_seconds: float, is_forced: bool
) -> int:
    shortest = hold_seconds_min(settings.processor_timeout_seconds)
    if not claim.is_charged and hold_seconds < shortest and not is_forced:
        raise CommandError(f"a hold of less than {shortest:g} s may meet a sending under way: --force takes the risk")
    try:
        await commands.resolve(
            settings, correlation_id, claim, hold_seconds=hold_seconds, is_forced=is_forced, say=click.echo
        )
    except CannotResolveError as error:
        raise CommandError(str(error)) from None
    return 0
