"""`make chaos`: runs of several seeds in parallel."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import click

from qa.chaos.coverage import SOMETIMES, SOMETIMES_IN_A_CLUSTER
from qa.chaos.jobs import Job, run_jobs
from qa.chaos.report import markdown, one_line, summary
from qa.chaos.result import Result, Suite

RUNS_FOR_SOMETIMES = 10
"""From this many runs on, a suite must have reached everything."""


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--seed", default=1, help="The first; each further run has the next.")
@click.option("--runs", default=10, type=click.IntRange(1, 10_000))
@click.option("--seconds", default=12.0, type=click.FloatRange(2, 600), help="How long faults are injected in a run.")
@click.option("--rate", default=60.0, type=click.FloatRange(1, 2_000), help="Payments a second in a run.")
@click.option("--jobs", default=2, type=click.IntRange(1, 64), help="Runs side by side.")
@click.option("--clocks", is_flag=True, help="Set clocks beside everything else; needs libfaketime.")
@click.option("--cluster", is_flag=True, help="On three brokers, whose leader is killed, stopped and cut off as well.")
@click.option("--focus", multiple=True, help="A recipe to draw from, and from no other; may be given several times.")
@click.option("--markdown", "markdown_path", type=click.Path(path_type=Path, dir_okay=False), help="Tables for a page.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Where the results go.")
def main(
    *,
    seed: int,
    runs: int,
    seconds: float,
    rate: float,
    jobs: int,
    clocks: bool,
    cluster: bool,
    focus: tuple[str, ...],
    markdown_path: Path | None,
    json_path: Path | None,
) -> None:
    """Runs whole stacks under faults drawn from the seeds, and checks that every promise was kept.

    Exits with 1 when one was broken, or when a suite of ten runs or more did not reach everything it is meant to reach.
    """
    began = time.monotonic()
    if clocks and cluster:
        raise click.UsageError("--clocks and --cluster are two kinds of run")
    wanted = [Job(seed + number, seconds, rate, focus=focus, clocks=clocks, cluster=cluster) for number in range(runs)]
    suite = Suite(asyncio.run(_run_all(wanted, jobs)), SOMETIMES_IN_A_CLUSTER if cluster else SOMETIMES)
    needs_all = runs >= RUNS_FOR_SOMETIMES and not focus
    click.echo(summary(suite, seconds=time.monotonic() - began, needs_all=needs_all))
    if markdown_path:
        markdown_path.parent.mkdir(parents=True, exist_ok=True)
        markdown_path.write_text(markdown(suite) + "\n")
    if json_path:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps([result.as_json() for result in suite.results], indent=1) + "\n")
    sys.exit(not suite.clean or bool(needs_all and suite.never_reached()))


async def _run_all(jobs: list[Job], side_by_side: int) -> list[Result]:
    results = []
    async for _, result in run_jobs(jobs, side_by_side):
        click.echo(one_line(result))
        results.append(result)
    return sorted(results, key=lambda result: result.seed)


if __name__ == "__main__":
    main()
