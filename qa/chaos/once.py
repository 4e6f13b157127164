"""`python -m qa.chaos.once`: one run in its own process. The result is written as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import uvloop

from qa.chaos.cluster import CLUSTER_RECIPES, cluster_plan, rolling_plan
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
@click.option("--cluster", is_flag=True, help="On three brokers, with two projectors.")
@click.option("--rolling", is_flag=True, help="In a cluster: restart one program after the other, and do nothing else.")
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
    cluster: bool,
    rolling: bool,
    focus: Sequence[str],
    folders: Keep,
    quiet: bool,
) -> None:
    """Runs a stack under faults, heals it, and checks every promise."""
    recipes = CLUSTER_RECIPES if cluster else RECIPES
    if unknown := set(focus) - recipes.keys():
        raise click.UsageError(f"no such recipe: {', '.join(sorted(unknown))}; there are {', '.join(recipes)}")
    if disks + clocks + (cluster or rolling) > 1:
        raise click.UsageError("--disks, --clocks and --cluster are three kinds of run")
    chosen = cluster_plan(seed, seconds, focus) if cluster else plan(seed, seconds, focus)
    if disks:
        chosen = disk_plan(seed, seconds)
    if clocks:
        chosen = clock_plan(seed, seconds)
    if rolling:
        chosen = rolling_plan(seed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(chosen, rate, services=services, keep=folders, has_cluster=cluster or rolling))
    if not quiet:
        click.echo(one_line(result))
        for line in result.offences:
            click.echo(line)
        if result.gaps_seconds:
            gaps = ", ".join(f"{seconds:.1f}" for seconds in result.gaps_seconds)
            click.echo(f"seconds without an acceptance after each fault of the leader: {gaps}")
    if json_path:
        json_path.write_text(json.dumps(result.as_json()))
    sys.exit(not result.clean)


if __name__ == "__main__":
    main()
