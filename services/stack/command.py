"""A command that reports a stack's errors in one line."""

import click

from tollgate.runtime.cli import Command
from tollgate.runtime.errors import FatalError
from tollgate.stack.errors import StackError


class StackCommand(Command):
    """Reports StackError, FatalError and OSError as one line, without a traceback; exits with 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (StackError, FatalError) as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            # A full or read-only disk: the file's name shows what the command was doing.
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from error
