"""The page reference/command-line.md, from the commands as click declares them."""

import inspect

import click

from tollgate.cli import main

_LEAD = """# Command line

Generated from the code by `make docs-generate`. Every command prints the same with `--help`. An operator's commands
find the running stack by themselves: [Operator commands](../how-to/operator-commands.md). `gateway`, `processor`,
`projector` and `simulator` are also programs of their own: `projector status` is `tollgate projector status`.
"""


def page() -> str:
    """The program `tollgate` with every command."""
    return "\n".join([_LEAD, *_sections("tollgate", main)])


def _sections(path: str, command: click.Command, level: int = 2) -> list[str]:
    if command.hidden:
        return []
    sections = [_section(path, command, level)]
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in sorted(command.list_commands(context)):
            child = command.get_command(context, name)
            if child is not None:
                sections += _sections(f"{path} {name}", child, level + 1)
    return sections


def _section(path: str, command: click.Command, level: int) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"{'#' * level} `{path}`", f"```\n{usage}\n```", _prose(command.help or "")]
    options = [one for one in command.get_params(context) if isinstance(one, click.Option) and not one.hidden]
    rows = [f"| {_names(one, context)} | {_help(one, context)} |" for one in options if "--help" not in one.opts]
    if rows:
        parts.append("\n".join(["| option | |", "|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _prose(text: str) -> str:
    """A docstring as Markdown: a paragraph that click is told not to wrap stays as it is."""
    paragraphs = inspect.cleandoc(text).split("\f")[0].strip().split("\n\n")
    shown = []
    for paragraph in paragraphs:
        if paragraph.startswith("\b\n"):
            shown.append("```\n" + paragraph.removeprefix("\b\n") + "\n```")
        else:
            shown.append(paragraph)
    return "\n\n".join(shown)


def _names(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    return f"{names} {_cell(option.make_metavar(context).removesuffix(' RANGE'))}"


def _help(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    text = record[1] if record else ""
    return _cell(" ".join(text.split()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
