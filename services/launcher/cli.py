"""The command `tollgate run`. It needs the programs that `make install` adds."""

import os
import sys

import click

from tollgate.launcher.run import run_stack
from tollgate.stack.command import StackCommand
from tollgate.stack.settings import read_settings


@click.command(cls=StackCommand)
def run() -> None:
    """Starts everything on this machine until Ctrl-C.

    Prints a line when payments are accepted. A later start on the same DATA_DIR continues with the same data.
    """
    sys.exit(run_stack(read_settings(dict(os.environ)), click.echo))
