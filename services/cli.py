"""The program `tollgate`: every command under one name, each imported only when it is called.

So `tollgate log` loads neither DuckDB nor the supervisor, and works where only the services are installed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import click

from tollgate.runtime.cli import Group


@dataclass(frozen=True, slots=True)
class Entry:
    """A command of another module, with the summary that `tollgate --help` shows without importing it."""

    target: str
    """`module:name`, below `tollgate`."""
    summary: str


SERVICES = {
    "gateway": Entry("gateway.cli:main", "Accepts payments into the log and serves queries about them."),
    "processor": Entry("processor.cli:main", "Charges the payments of the log; status and manual resolution."),
    "projector": Entry("projector.cli:main", "Builds the read model from the log and serves queries on it."),
    "console": Entry("console.cli:main", "Shows in a browser what the stack does; reads only."),
    "simulator": Entry("simulator.cli:main", "Runs one simulated provider."),
}
MACHINE = {
    "run": Entry("launcher.cli:run", "Starts everything on this machine until Ctrl-C."),
    "status": Entry(
        "status.cli:status", "Shows on one screen whether money flows, where to, and what waits; faults first."
    ),
    "archive": Entry("projector.archive.command:archive", "Closes the log's earlier stretches into an archive."),
}
LOG = {
    "log": Entry("ops.cli:log", "Shows the events of the log."),
    "backup": Entry("ops.cli:backup", "Backs up the log while everything runs."),
    "restore": Entry("ops.cli:restore", "Restores a backup where there is no log."),
    "replay": Entry("ops.cli:replay", "Builds a temporary stack from a backup and compares the summaries."),
    "nats-url": Entry("ops.cli:nats_url", "Prints the broker's URL with the operator's password."),
}
SECTIONS = {"On this machine": MACHINE, "The log": LOG, "Services": SERVICES}
ENTRIES = MACHINE | LOG | SERVICES


class LazyGroup(Group):
    """The commands of ENTRIES."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(ENTRIES)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = ENTRIES.get(cmd_name)
        return None if entry is None else load(cmd_name, entry)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(_rows(entries)))


def load(name: str, entry: Entry) -> click.Command:
    """Imports a command. Raises ClickException when it needs a library that is not installed."""
    module, _, attribute = entry.target.partition(":")
    try:
        command: click.Command = getattr(import_module(f"tollgate.{module}"), attribute)
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"`tollgate {name}` needs {error.name}, which is not installed here: use a checkout with `make install`"
        ) from error
    return command


def _rows(entries: dict[str, Entry]) -> Iterator[tuple[str, str]]:
    return ((name, entry.summary) for name, entry in entries.items())


@click.group(cls=LazyGroup)
@click.version_option(package_name="tollgate", message="%(prog)s %(version)s")
def main() -> None:
    """An event-sourced payment gateway.

    Settings come from environment variables: see docs/reference/settings.md.
    """
