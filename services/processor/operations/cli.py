"""The operator's commands: the status of charging, and manual resolution of attempts in doubt."""

import getpass
import os
import socket
from typing import TextIO
from uuid import UUID

import click

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.timestamps import InvalidTimestampError, parse_us
from tollgate.messaging.operator_command import CommandError, load_for_command, run_command, waiting_options
from tollgate.processor.operations import commands
from tollgate.processor.operations.batch_resolution import BATCH_MAX, Batch
from tollgate.processor.operations.charging_health import assess
from tollgate.processor.operations.manual_resolution import RequestedResolution
from tollgate.processor.operations.resolve import HOLD_SECONDS, CannotResolveError, hold_seconds_min
from tollgate.processor.operations.status import render_json, render_table
from tollgate.processor.settings import Settings
from tollgate.runtime.cli import Command, Number

TEXT_CHARACTERS_MAX = 500
"""The longest note; it stays in the log for ever."""


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
    click.echo(render(answers.charging, answers.facts.queue, answers.side_queues, health, answers.now_us))
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


def _this_user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        # A container's user may have no name.
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def _ids(_ctx: click.Context, _param: click.Parameter, file: TextIO | None) -> list[str] | None:
    """One id a line; empty lines, and lines that begin with #, are skipped."""
    if file is None:
        return None
    lines = [(number, line.strip()) for number, line in enumerate(file, start=1)]
    ids: dict[str, None] = {}
    for number, line in lines:
        if not line or line.startswith("#"):
            continue
        try:
            ids[str(UUID(line))] = None
        except ValueError:
            raise click.BadParameter(f"line {number} is no UUID: {line[:64]!r}") from None
    if not 1 <= len(ids) <= BATCH_MAX:
        raise click.BadParameter(f"{len(ids)} ids; there may be 1 to {BATCH_MAX}")
    return list(ids)


@click.command(cls=Command)
@click.argument("correlation_id", type=click.UUID, required=False)
@click.option(
    "--from", "ids", type=click.File(), callback=_ids, help="Many payments: a file with one id a line; - is stdin."
)
@click.option("--provider", type=click.Choice(PROVIDERS), help="Many payments: the oldest in doubt at this provider.")
@click.option(
    "--older-than",
    "older_than_seconds",
    type=Number(0, 10**9),
    help="With --provider: only those in doubt for at least this many seconds.",
)
@click.option(
    "--limit",
    default=1_000,
    show_default=True,
    type=click.IntRange(1, BATCH_MAX),
    help="With --provider: at most this many.",
)
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Look each payment up, and record nothing.")
@click.option("--charged/--not-charged", "is_charged", default=None, help="Whether the attempt was charged.")
@click.option("--note", required=True, callback=_text, help="The evidence; it stays in the log.")
@click.option("--by", default=_this_user, callback=_text, help="The operator's name; else this user and machine.")
@click.option("--requested-at", callback=_moment, help="With --charged: the stamp of the provider's record.")
@click.option(
    "--hold-seconds",
    default=HOLD_SECONDS,
    show_default=True,
    type=Number(0, 86_400),
    help="With --not-charged: how long an attempt is held, and not sent, before it is released.",
)
@click.option("--force", "is_forced", is_flag=True, help="Override the provider's record, or allow a short hold.")
def resolve(
    *,
    correlation_id: UUID | None,
    ids: list[str] | None,
    provider: ProviderName | None,
    older_than_seconds: float | None,
    limit: int,
    is_dry_run: bool,
    is_charged: bool | None,
    note: str,
    by: str,
    requested_at: int | None,
    hold_seconds: float,
    is_forced: bool,
) -> None:
    """Resolves attempts in doubt manually; the log records it. Read docs/how-to/doubts.md before the first use.

    One payment by its id; or many at once, with --from or with --provider and --older-than: a line for each, and exit
    status 1 if any could not be resolved.
    """
    if sum(one is not None for one in (correlation_id, ids, provider)) != 1:
        raise click.UsageError("name one payment, or --from, or --provider")
    if (provider is None) != (older_than_seconds is None):
        raise click.UsageError("--provider and --older-than belong together")
    if is_charged is None:
        raise click.UsageError("--charged or --not-charged is required")
    if requested_at is not None and not (is_charged and correlation_id):
        raise click.UsageError("--requested-at belongs to --charged, and to one payment")
    batch = Batch((), RequestedResolution(is_charged, by, note, requested_at), hold_seconds, is_forced, is_dry_run)
    if correlation_id is not None and not is_dry_run:
        run_command(lambda: _resolve(_settings(batch), str(correlation_id), batch))
        return
    if provider is not None and older_than_seconds is not None:
        selected = commands.in_doubt_at(provider, older_than_seconds=older_than_seconds, count_max=limit)
    else:
        selected = commands.listed(ids or [str(correlation_id)])
    run_command(lambda: _resolve_batch(_settings(batch), selected, batch))


def _settings(batch: Batch) -> Settings:
    settings = load_for_command(Settings, user="processor")
    shortest = hold_seconds_min(settings.processor_timeout_seconds)
    if not batch.requested.is_charged and batch.hold_seconds < shortest and not batch.is_forced:
        raise CommandError(f"a hold of less than {shortest:g} s may meet a sending under way: --force takes the risk")
    return settings


async def _resolve(settings: Settings, correlation_id: str, batch: Batch) -> int:
    try:
        await commands.resolve(
            settings,
            correlation_id,
            batch.requested,
            hold_seconds=batch.hold_seconds,
            is_forced=batch.is_forced,
            report=click.echo,
        )
    except CannotResolveError as error:
        raise CommandError(str(error)) from None
    return 0


async def _resolve_batch(settings: Settings, selected: commands.Selected, batch: Batch) -> int:
    counted = await commands.resolve_batch(settings, selected, batch, report=click.echo)
    verb = "could be resolved" if batch.is_dry_run else "resolved"
    click.echo(f"{counted.resolved} {verb}, {counted.failed} not")
    return int(counted.failed > 0)
