"""Starts Tollgate's programs by fork from an interpreter that has imported them.

Each is a process of its own, with its environment, working directory, output files, signals and exit status; only the
imports are not repeated, which take most of the CPU of a start. The stacks of `tests/system` and the commands that the
pages show (`test_readme.py`) are started as they are installed.
"""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path

BIN = Path(sys.executable).parent
ENTRIES = {
    "gateway": "tollgate.gateway.cli",
    "processor": "tollgate.processor.cli",
    "projector": "tollgate.projector.cli",
    "simulator": "tollgate.simulator.cli",
    "tollgate": "tollgate.cli",
}
LAZY = ["tollgate.ops.cli", "tollgate.projector.verify.command", "duckdb"]
"""What those import only for some of their commands."""
NEEDS_EXEC = ("LD_", "PYTHON", "FAKETIME")
"""Variables that act when a program is loaded."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*ENTRIES.values(), *LAZY, __name__])


def can_fork(command: list[str], env: dict[str, str]) -> bool:
    """Whether that is one of Tollgate's programs, in an environment that differs by no variable of the loader."""
    program = Path(command[0])
    changed = {name for name in env.keys() | os.environ.keys() if env.get(name) != os.environ.get(name)}
    return (
        program.parent == BIN and program.name in ENTRIES and not any(name.startswith(NEEDS_EXEC) for name in changed)
    )


class Forked:
    """Has of `subprocess.Popen` what the tests use."""

    def __init__(
        self,
        command: list[str],
        *,
        env: dict[str, str],
        stdout: Path,
        stderr: Path | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.args = command
        # As with Popen, they exist when this returns.
        for path in (stdout, stderr or stdout):
            path.touch()
        self._process: ForkServerProcess = _context.Process(
            target=_run, args=(command, env, str(stdout), str(stderr or stdout), str(cwd or Path.cwd())), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (status := self.poll()) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def run(
    command: list[str], *, env: dict[str, str], cwd: Path | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` that captures the output as text."""
    with tempfile.TemporaryDirectory(prefix="tollgate-command-") as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        process = Forked(command, env=env, stdout=output, stderr=errors, cwd=cwd)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(command, status, output.read_text(), errors.read_text())


def _run(command: list[str], env: dict[str, str], stdout: str, stderr: str, cwd: str) -> None:
    """In the new process: takes the place of the interpreter's start."""
    for path, descriptor in ((stdout, 1), (stderr, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = command
    try:
        import_module(ENTRIES[Path(command[0]).name]).main()
    finally:
        # The end of an interpreter, which multiprocessing leaves out: what the program log has folded is written.
        logging.shutdown()
