"""The program `tollgate`: every command is found, and each imports only what it needs."""

import subprocess
import sys
from importlib.metadata import version

import pytest
from click.testing import CliRunner

from tollgate.cli import ENTRIES, LOG, load, main

BLOCKED = """
import sys
for name in {names!r}:
    sys.modules[name] = None
from tollgate.cli import main
main({arguments!r})
"""


def run_without(names: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tollgate` with these arguments, where these libraries are not installed."""
    script = BLOCKED.format(names=names, arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60, env={"PATH": ""}
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_the_summary_in_the_help_is_that_of_the_command(name: str) -> None:
    entry = ENTRIES[name]
    assert load(name, entry).get_short_help_str(limit=200).removesuffix(".") == entry.summary.removesuffix(".")


def test_help_names_every_command() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    for name, entry in ENTRIES.items():
        assert name in shown
        assert entry.summary.split(";")[0] in " ".join(shown.split())


def test_version_is_that_of_the_installed_package() -> None:
    assert CliRunner().invoke(main, ["--version"]).output.split()[-1] == version("tollgate")


def test_an_unknown_command_is_an_error() -> None:
    ended = CliRunner().invoke(main, ["nothing"])
    assert ended.exit_code == 2
    assert "No such command 'nothing'" in ended.output


@pytest.mark.parametrize("command", [*LOG, "status"])
def test_a_command_on_the_log_needs_neither_duckdb_nor_the_supervisor(command: str) -> None:
    """As in the image, which has no supervisor."""
    ended = run_without(("duckdb", "supervisor"), command, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert command in ended.stdout


@pytest.mark.parametrize("command", ["gateway", "processor", "projector", "simulator"])
def test_a_service_needs_no_supervisor(command: str) -> None:
    ended = run_without(("supervisor",), command, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("module", ["gateway.cli", "processor.cli", "projector.cli", "console.cli", "ops.cli"])
def test_a_program_that_makes_no_requests_with_aiohttp_does_not_import_it(module: str) -> None:
    """It would cost a third of the start and 9 MB: nats-py imports it where it is installed."""
    script = f"import sys, tollgate.{module}; print(sorted({{'aiohttp', 'nats'}} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "['nats']\n"


def test_without_the_supervisor_the_command_that_needs_it_ends_in_one_line() -> None:
    ended = run_without(("supervisor",), "run")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: `tollgate run` needs supervisor")
    assert len(ended.stderr.splitlines()) == 1


def test_help_imports_no_command() -> None:
    assert run_without(("tollgate.ops", "tollgate.stack", "tollgate.projector", "nats", "duckdb"), "--help").stdout
