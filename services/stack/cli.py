"""The command line. Settings come from the environment (stack.settings)."""

import os
import sys

import click

from stack import banner
from stack.credentials import operator_url
from stack.errors import StackError
from stack.launcher import run_stack
from stack.settings import read_settings
from stack.supervision import ask_states


class _Group(click.Group):
    """Shows a StackError as its line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except StackError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
def main() -> None:
    """Runs all of Tollgate on this machine. Stopping and starting it again continues with the same data."""


@main.command()
def run() -> None:
    """Starts everything, says when it is ready, and stops everything on Ctrl-C."""
    sys.exit(run_stack(read_settings(dict(os.environ)), click.echo))


@main.command()
def status() -> None:
    """Shows each program's state; exits with 1 unless all run."""
    states = ask_states(read_settings(dict(os.environ)))
    click.echo(banner.status(states))
    sys.exit(any(state.state != "RUNNING" for state in states))


@main.command()
def nats_url() -> None:
    """Prints the broker's URL with the operator's password: NATS_URL="$(stack nats-url)" nats stream view PAYMENTS."""
    click.echo(operator_url(read_settings(dict(os.environ))))
