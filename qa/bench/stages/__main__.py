"""Measures each stage beside its own limit, then the whole stack, repeatedly; writes the figures.

python -m qa.bench.stages --runs 3 --page docs/explanation/performance.md
"""

import os
from pathlib import Path

import click
import uvloop

from qa.bench.stages.interpreter import interpreter
from qa.bench.stages.measure import DEFAULT, QUICK, Run, measure
from qa.bench.stages.summary import as_json, as_markdown, chart, placed


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1, 20), help="How often all is measured.")
@click.option("--quick", is_flag=True, help="One short run, to see that everything runs; its figures mean little.")
@click.option(
    "--page",
    default="build/performance.md",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The Markdown page; JSON and plot go beside it. Of an existing page only the figures are replaced.",
)
def main(runs: int, quick: bool, page: Path) -> None:
    """Measures CPU, wake-ups and latency of a payment at each stage."""
    done: list[Run] = []
    total = 1 if quick else runs
    for number in range(1, total + 1):
        click.echo(f"run {number} of {total}")
        done.append(uvloop.run(measure(QUICK if quick else DEFAULT, lambda what: click.echo(f"  {what}"))))
    conditions = {
        "Cores": str(os.cpu_count()),
        "Python": interpreter(),
        "Plan": "quick" if quick else "default",
    }
    page.parent.mkdir(parents=True, exist_ok=True)
    figures = as_markdown(done, conditions, page.with_suffix(".svg").name)
    page.write_text(placed(page.read_text(), figures) if page.exists() and not quick else figures)
    page.with_suffix(".json").write_text(as_json(done, conditions))
    page.with_suffix(".svg").write_text(chart(done))
    click.echo(figures)


if __name__ == "__main__":
    main()
