"""The program `simulator`: one simulated provider."""

import os
import secrets
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
import uvloop

from tollgate.runtime.cli import Command, Number, WholeNumber
from tollgate.simulator.faults import BadFaultsError
from tollgate.simulator.memory import UnreadableBookError
from tollgate.simulator.server import serve
from tollgate.simulator.state import Options

_FEE_DECIMALS = 6
_SEED_BITS = 32
_MAX_SEED = (1 << 63) - 1
_MAX_PAYMENTS = 100_000_000


class _Fee(click.ParamType[Decimal]):
    name = "ratio"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            fee = Decimal(str(value))
        except InvalidOperation:
            fee = Decimal(-1)
        if not 0 <= fee <= 1 or round(fee, _FEE_DECIMALS) != fee:
            self.fail(f"{value!r} is no ratio from 0 to 1 with at most {_FEE_DECIMALS} decimals", param, ctx)
        return fee


class _Fault(click.ParamType[tuple[str, float]]):
    name = "fault"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        name, _, number = str(value).partition("=")
        try:
            return name, float(number)
        except ValueError:
            self.fail(f"{value!r} is no NAME=VALUE with a number", param, ctx)


@click.command(cls=Command, context_settings={"auto_envvar_prefix": "SIMULATOR", "show_default": True})
@click.option("--name", default="default", help="Its name in its output.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8001, type=WholeNumber(0, 65_535), help="Port to listen on; 0 takes any free one.")
@click.option("--fee", default="0.05", type=_Fee(), help="Fee as a ratio of the amount.")
@click.option("--token", default="123", help="What /admin expects in X-Rinha-Token.")
@click.option("--seed", type=WholeNumber(0, _MAX_SEED), help="Seed of the faults drawn.  [default: a random one]")
@click.option(
    "--max-payments",
    default=5_000_000,
    type=WholeNumber(1, _MAX_PAYMENTS),
    help="The most payments that it stores, at 220 bytes each; further ones are answered 500.",
)
@click.option(
    "--book",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that stores the charges, also those before a kill.  [default: memory alone]",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=_Fault(),
    metavar="NAME=VALUE",
    help="A fault in force from the start, as in PUT /admin/faults; may be given several times.",
)
@click.option("--max-concurrent", default=800, type=WholeNumber(1), hidden=True)
@click.option("--max-waiting", default=500, type=WholeNumber(0), hidden=True)
@click.option("--health-interval-seconds", default=5.0, type=Number(0), hidden=True)
def main(seed: int | None, faults: Sequence[tuple[str, float]], **others: Any) -> None:
    """Runs one simulated provider.

    It answers like the payment processors of the Rinha benchmark and stores its charges in memory, or in --book.

    Every option can be set in the environment too: --max-payments is SIMULATOR_MAX_PAYMENTS.
    """
    options = Options(seed=secrets.randbits(_SEED_BITS) if seed is None else seed, faults=dict(faults), **others)
    try:
        uvloop.run(serve(options, lambda url: click.echo(f"simulator {options.name}: listening on {url}")))
    except BadFaultsError as reason:
        raise click.BadParameter(str(reason), param_hint="--fault") from reason
    except UnreadableBookError as reason:
        raise click.ClickException(str(reason)) from reason
    except OSError as reason:
        raise click.ClickException(f"cannot listen on {options.host}:{options.port}: {_why(reason)}") from reason


def _why(reason: OSError) -> str | None:
    # The event loop wraps the system's words in its own; the resolver's errors have numbers below zero and no others.
    return os.strerror(reason.errno) if reason.errno is not None and reason.errno > 0 else reason.strerror
