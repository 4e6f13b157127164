"""The commands `tollgate run` and `tollgate status`. They need the programs that `make install` adds."""

import os
import sys

import click

from tollgate.stack import banner
from tollgate.stack.command import StackCommand
from tollgate.stack.launcher import run_stack
from tollgate.stack.settings import read_settings
from tollgate.stack.supervision import ask_states


@click.command(cls=StackCommand)
def run() -> None:
    """Starts everything on this machine until Ctrl-C.

    Prints a line when payments are accepted. A later start on the same DATA_DIR continues with the same data.
    """
    sys.exit(run_stack(read_settings(dict(os.environ)), click.echo))


@click.command(cls=StackCommand)
def status() -> None:
    """Shows the state of each program that `tollgate run` started.

    Exits with 1 unless all run.
    """
    states = ask_states(read_settings(dict(os.environ)))
    click.echo(banner.status(states))
    sys.exit(any(state.state != "RUNNING" for state in states))
