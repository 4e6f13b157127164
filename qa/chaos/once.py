"""`python -m qa.chaos.once`: one run in its own process. The result is written as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import uvloop

from qa.chaos.plan import RECIPES, clock_plan, disk_plan, plan
from qa.chaos.report import one_line
from qa.chaos.run import Keep, run


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--seed", default=1, help="Of the faults and the payments.")
@click.option("--seconds", default=12.0, type=click.FloatRange(2, 600), help="How long faults are injected.")
@click.option("--rate", default=60.0, type=click.FloatRange(1, 2_000), help="Payments a second.")
@click.option(
    "--services",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The source tree of the services.  [default: the installed one]",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Where the result goes.")
@click.option("--focus", multiple=True, help="A recipe to draw from, and from no other; may be given several times.")
@click.option("--disks", is_flag=True, help="Let disks run full in place of everything else; needs root.")
@click.option("--clocks", is_flag=True, help="Set clocks beside everything else; needs libfaketime.")
@click.option(
    "--folders",
    default="failed",
    type=click.Choice(["failed", "all", "none"]),
    help="Which runs' data and program logs are kept.",
)
@click.option("--quiet", is_flag=True, help="Say nothing.")
def main(
    *,
    seed: int,
    seconds: float,
    rate: float,
    services: Path | None,
    json_path: Path | None,
    disks: bool,
    clocks: bool,
    focus: Sequence[str],
    folders: Keep,
    quiet: bool,
) -> None:
    """Runs a stack under faults, heals it, and checks every promise."""
    if unknown := set(focus) - RECIPES.keys():
        raise click.UsageError(f"no such recipe: {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
    if disks and clocks:
        raise click.UsageError("--disks and --clocks are two kinds of run")
    chosen = plan(seed, seconds, focus)
    if disks:
        chosen = disk_plan(seed, seconds)
    if clocks:
        chosen = clock_plan(seed, seconds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(chosen, rate, services=services, keep=folders))
    if not quiet:
        click.echo(one_line(result))
        for line in result.offences:
            click.echo(line)
    if json_path:
        json_path.write_text(json.dumps(result.as_json()))
    sys.exit(not result.clean)


if __name__ == "__main__":
    main()
