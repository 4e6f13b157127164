"""`make chaos-mutations`: whether the runs detect a broken product. Otherwise a clean run would prove nothing."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from qa.chaos.jobs import Job, run_jobs
from qa.chaos.mutation import Mutation, StaleMutationError, catalogue, mutated_copy
from qa.chaos.result import Result


@dataclass(slots=True)
class Caught:
    """The results of the runs of one mutation."""

    mutation: Mutation
    runs: int = 0
    caught: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    """The number of runs in which each column was not zero."""
    troubles: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.runs += 1
        if result.trouble:
            self.troubles.append(f"seed {result.seed}: {result.trouble}")
        self.caught += bool(result.broken)
        self.columns.update(result.broken)

    @property
    def as_expected(self) -> bool:
        """Whether it was caught as expected. A mutation that another rule protects against need not be caught."""
        return bool(self.caught) or not self.mutation.caught_by

    @property
    def shown_by(self) -> str:
        if not self.columns:
            return self.mutation.protected_by or "NOT CAUGHT"
        return ", ".join(f"{name} ({count})" for name, count in self.columns.most_common())


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--seed", default=1, help="The first; each further run has the next.")
@click.option("--runs", default=3, type=click.IntRange(1, 1_000), help="Of each mutation.")
@click.option("--seconds", default=12.0, type=click.FloatRange(2, 600), help="How long faults are injected in a run.")
@click.option("--rate", default=60.0, type=click.FloatRange(1, 2_000), help="Payments a second in a run.")
@click.option("--jobs", default=2, type=click.IntRange(1, 64), help="Runs side by side.")
@click.option("--only", multiple=True, help="A mutation's name; may be given several times.")
@click.option(
    "--markdown",
    "markdown_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file for the results as a Markdown table.",
)
def main(
    *, seed: int, runs: int, seconds: float, rate: float, jobs: int, only: Sequence[str], markdown_path: Path | None
) -> None:
    """Runs each mutation over some seeds. Exits with 1 when one that should be caught never was."""
    chosen = [one for one in catalogue() if not only or one.name in only]
    if not chosen:
        raise click.UsageError(f"there is no such mutation; there are {', '.join(one.name for one in catalogue())}")
    try:
        with tempfile.TemporaryDirectory(prefix="tollgate-chaos-mutations-") as folder:
            copies = {mutated_copy(one, Path(folder)): one for one in chosen}
            work = [
                Job(seed + number, seconds, rate, copy, one.focus, discard=True)
                for copy, one in copies.items()
                for number in range(runs)
            ]
            found = asyncio.run(_run_all(work, copies, jobs))
    except StaleMutationError as error:
        raise click.ClickException(str(error)) from error
    click.echo()
    for one in found:
        click.echo(f"{one.caught} of {one.runs}  {one.mutation.name}: {one.shown_by}")
        for trouble in one.troubles:
            click.echo(f"        not judged, {trouble}")
    if markdown_path:
        markdown_path.parent.mkdir(parents=True, exist_ok=True)
        markdown_path.write_text(_markdown(found) + "\n")
    sys.exit(not all(one.as_expected for one in found))


async def _run_all(work: list[Job], copies: dict[Path, Mutation], side_by_side: int) -> list[Caught]:
    found = {mutation.name: Caught(mutation) for mutation in copies.values()}
    async for job, result in run_jobs(work, side_by_side):
        assert job.services is not None  # noqa: S101
        mutation = copies[job.services]
        found[mutation.name].add(result)
        what = result.trouble or ", ".join(result.broken) or "nothing seen"
        click.echo(f"{mutation.name}, seed {result.seed}: {what}")
    return list(found.values())


def _markdown(found: Sequence[Caught]) -> str:
    lines = ["| broken on purpose | caught in | by |", "| --- | --- | --- |"]
    lines += [f"| {one.mutation.what} | {one.caught} of {one.runs} | {one.shown_by} |" for one in found]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
