"""Start, memory, questions, rebuild and files of every program at several numbers of payments.

    python -m qa.bench.sizes --payments 100000 --payments 1000000 --page docs/how-to/capacity.md

The log in `--folder` grows from size to size and stays there: a later run with a larger size continues.
"""

import asyncio
import json
import time
from pathlib import Path

import click

from qa.bench.report import Figures
from qa.bench.sizes.measure import measure, rounded, write_up_to
from qa.bench.sizes.programs import Machine
from qa.bench.sizes.table import as_markdown
from qa.bench.stages.summary import BEGIN, END, placed
from qa.chaos.ports import port_block


@click.command()
@click.option("--payments", "sizes", multiple=True, default=(100_000, 1_000_000), show_default=True, type=int)
@click.option("--filter-mb", default=4, show_default=True, help="KNOWN_IDS_FILTER_MB.")
@click.option(
    "--folder",
    default="build/sizes",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Log and read model: some 700 bytes for each payment, and during a rebuild 150 more.",
)
@click.option(
    "--page",
    default="build/sizes.md",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The Markdown page; of an existing page only the figures are replaced.",
)
@click.option("--keep", is_flag=True, help="Use the read model that is there, without a rebuild.")
def main(*, sizes: tuple[int, ...], filter_mb: int, folder: Path, page: Path, keep: bool) -> None:
    """Writes the payments, measures everything at each size, and writes the table."""
    done, written_path = folder / "figures.json", folder / "written"
    rows: list[Figures] = json.loads(done.read_text()) if done.exists() else []
    with port_block() as first_port:
        machine = Machine(folder.absolute(), first_port, filter_mb=filter_mb)
        machine.start_broker()
        try:
            for size in sorted(map(rounded, sizes)):
                written = int(written_path.read_text()) if written_path.exists() else 0
                if size < written or any(row["payments"] == size for row in rows):
                    continue
                _say(f"{size:,} payments: writing")
                asyncio.run(write_up_to(machine, written, size))
                written_path.write_text(f"{size}\n")
                rows.append(measure(machine, size, _say, rebuilds=not keep))
                done.write_text(json.dumps(rows, indent=2) + "\n")
        finally:
            machine.kill_all()
    figures = as_markdown(rows)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(placed(page.read_text() if page.exists() else f"{BEGIN}\n{END}\n", figures))
    click.echo(figures)


def _say(step: str) -> None:
    click.echo(f"  {time.strftime('%H:%M:%S')} {step}")


if __name__ == "__main__":
    main()
