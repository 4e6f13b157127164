"""A sampling profile of one Python program of a running stack, without a restart and without a pause of it.

python -m qa.bench.profile_program gateway-1 --seconds 20
"""

import subprocess
from pathlib import Path

import click

from qa.bench.server import BIN
from qa.load.processes import Supervised

SAMPLES_PER_SECOND = 200


@click.command()
@click.argument("program")
@click.option(
    "--data-dir",
    default="data",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The DATA_DIR of the stack.",
)
@click.option("--seconds", default=20, show_default=True, type=click.IntRange(1, 600), help="How long to sample.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The SVG.")
def main(program: str, data_dir: Path, seconds: int, output: Path | None) -> None:
    """Samples PROGRAM, such as `gateway-1`, and writes a flame graph to build/profile-PROGRAM.svg."""
    running = Supervised(data_dir).find()
    if program not in running:
        names = ", ".join(sorted(running)) or "none: no stack runs on this data directory"
        raise click.UsageError(f"{program} does not run; running programs: {names}")
    target = output or Path(f"build/profile-{program}.svg")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Without --nonblocking py-spy stops the program for each sample.
    options = ["--duration", str(seconds), "--rate", str(SAMPLES_PER_SECOND), "--nonblocking", "--output", str(target)]
    pid = str(running[program][0].pid)
    ended = subprocess.run([str(BIN / "py-spy"), "record", "--pid", pid, *options], check=False)
    if ended.returncode:
        raise click.ClickException("py-spy failed: it needs a Python program, and the right to read its memory")
    click.echo(target)


if __name__ == "__main__":
    main()
