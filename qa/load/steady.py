"""Sends payments at a constant rate and audits every cent.

    python -m qa.load.steady --rate 550 --seconds 60 --processes-of data --kill gateway-1,processor,projector,nats

Exit status: 0 when every promise was kept, 1 when one was broken, 2 when the run could not begin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path

import click
import psutil
import uvloop

from qa.load.client import Origin
from qa.load.kills import PlannedKill, plan_kills
from qa.load.load_run import NotReadyError, Settings, conduct
from qa.load.money import NotCentsError, cents_of, constant, decimal_text, randomly
from qa.load.processes import Given, Programs, Supervised
from qa.load.report import as_json, table


def _origin(_ctx: click.Context, _param: click.Parameter, value: str) -> Origin:
    try:
        return Origin.of(value)
    except ValueError as fault:
        raise click.BadParameter(str(fault)) from fault


def _cents(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    try:
        cents = cents_of(Decimal(value))
    except (InvalidOperation, NotCentsError) as fault:
        raise click.BadParameter(f"{value!r} is not an amount of whole cents") from fault
    if cents <= 0:
        raise click.BadParameter("an amount must be above 0")
    return cents


def _pids(_ctx: click.Context, _param: click.Parameter, value: str | None) -> dict[str, int]:
    pids = {}
    for part in _names(value):
        name, _, pid = part.partition("=")
        if not name or not pid.isdecimal() or not psutil.pid_exists(int(pid)):
            raise click.BadParameter(f"{part!r} is not the name=pid of a running process")
        pids[name] = int(pid)
    return pids


def _programs(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[str]:
    return _names(value)


def _names(value: str | None) -> list[str]:
    return [name.strip() for name in (value or "").split(",") if name.strip()]


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--url", "product", default="http://127.0.0.1:9999", callback=_origin, help="The gateway.")
@click.option("--default", default="http://127.0.0.1:8001", callback=_origin, help="The cheap provider.")
@click.option("--fallback", default="http://127.0.0.1:8002", callback=_origin, help="The expensive provider.")
@click.option("--token", default="123", help="Token for the providers' admin API.")
@click.option("--rate", default=550.0, type=click.FloatRange(0.1, 10_000), help="Payments a second.")
@click.option("--seconds", default=60.0, type=click.FloatRange(1, 600), help="How long payments are sent.")
@click.option("--connections", default=100, type=click.IntRange(1, 2_000), help="Keep-alive connections.")
@click.option(
    "--in-flight",
    default=20_000,
    type=click.IntRange(1, 100_000),
    help="Limit of payments in flight, repeats included; beyond it a payment is skipped, which is a fault of the run.",
)
@click.option("--amount", "cents", default="19.90", callback=_cents, help="Amount of each payment.")
@click.option("--amounts", default="constant", type=click.Choice(["constant", "random"]))
@click.option("--seed", default=1, help="Seed of random amounts.")
@click.option(
    "--drain-seconds",
    default=30.0,
    type=click.FloatRange(0, 600),
    help="How long the last payments may take to settle.",
)
@click.option("--purge", is_flag=True, help="Purges the gateway and both providers first.")
@click.option("--processes-of", type=click.Path(path_type=Path), help="The data directory of a supervised stack.")
@click.option("--pids", callback=_pids, metavar="NAME=PID,...", help="Programs to measure, if they are not supervised.")
@click.option("--kill", "victims", callback=_programs, metavar="NAME,...", help="Programs to kill -9, once each.")
@click.option("--kill-seed", default=1, help="Seed of the times and the order of kills.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="A file for the figures as JSON."
)
def main(
    *,
    product: Origin,
    default: Origin,
    fallback: Origin,
    token: str,
    rate: float,
    seconds: float,
    connections: int,
    in_flight: int,
    cents: int,
    amounts: str,
    seed: int,
    drain_seconds: float,
    purge: bool,
    processes_of: Path | None,
    pids: dict[str, int],
    victims: list[str],
    kill_seed: int,
    json_path: Path | None,
) -> None:
    """Sends payments at a constant rate, checks the summaries meanwhile, and audits every payment at the end."""
    programs = _finder(processes_of, pids)
    settings = Settings(
        product=product,
        providers={"default": default, "fallback": fallback},
        token=token,
        rate_per_second=rate,
        seconds=seconds,
        connections=connections,
        in_flight_max=in_flight,
        amounts=decimal_text(cents) if amounts == "constant" else f"random (seed {seed})",
        draw_cents=constant(cents) if amounts == "constant" else randomly(seed),
        drain_seconds_max=drain_seconds,
        purge=purge,
        programs=programs,
        kills=_plan(victims, programs, seconds, kill_seed),
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(conduct(settings))
    except NotReadyError as fault:
        raise click.UsageError(str(fault)) from fault
    click.echo(table(result))
    if json_path:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(as_json(result), indent=2) + "\n")
    sys.exit(1 if result.faults() else 0)


def _finder(data_dir: Path | None, pids: dict[str, int]) -> Callable[[], Programs] | None:
    if data_dir and pids:
        raise click.UsageError("--processes-of and --pids name the same thing twice")
    if data_dir:
        if not Supervised(data_dir).find():
            raise click.UsageError(f"no supervisord runs programs of {data_dir}")
        return partial(Supervised, data_dir)
    return partial(Given, pids) if pids else None


def _plan(victims: list[str], programs: Callable[[], Programs] | None, seconds: float, seed: int) -> list[PlannedKill]:
    if not victims:
        return []
    if programs is None:
        raise click.UsageError("--kill needs --processes-of or --pids to find the programs")
    running = programs().find()
    if missing := [name for name in victims if name not in running]:
        raise click.UsageError(f"not running: {', '.join(missing)}; running are {', '.join(sorted(running))}")
    return plan_kills(victims, seconds, seed)


if __name__ == "__main__":
    main()
