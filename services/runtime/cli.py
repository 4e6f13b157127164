"""Command lines that refuse a bad value in one line: option or variable, value, and what is allowed."""

from typing import Any, NoReturn

import click
from click.core import ParameterSource

from tollgate.runtime.errors import TollgateError

USAGE_STATUS = 2


class Command(click.Command):
    """Refuses a bad value in one line, without click's usage text. Exits with USAGE_STATUS."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            raise
        except click.BadParameter as error:
            _refuse(error, ctx)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


class WholeNumber(click.IntRange):
    """A whole number within bounds. The error names the bounds also for a text that is no number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value} is no whole number in {self._describe_range()}", param, ctx)


class Number(click.FloatRange):
    """A number within bounds. The error names the bounds also for a text that is no number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(super().convert(value, param, ctx))
        except click.BadParameter:
            number = float("nan")
        if number != number:  # noqa: PLR0124 - NaN, which click accepts in any range
            self.fail(f"{value} is no number in {self._describe_range()}", param, ctx)
        return number


class _RefusedError(TollgateError, click.ClickException):
    exit_code = USAGE_STATUS


def _refuse(error: click.BadParameter, ctx: click.Context) -> NoReturn:
    raise _RefusedError(f"{_name(error.param, ctx)}: {' '.join(error.message.split())}") from None


def _name(param: click.Parameter | None, ctx: click.Context) -> str:
    if param is None or param.name is None:
        return ctx.command_path
    if ctx.get_parameter_source(param.name) is ParameterSource.ENVIRONMENT:
        return f"{ctx.auto_envvar_prefix}_{param.name.upper()}"
    return param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
