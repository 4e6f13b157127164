"""One program of the stack as a process."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.support.forked import Forked, can_fork

STOP_TIMEOUT_SECONDS = 10


class Program:
    """A running program. Its output goes to `log`; leaving the `with` block kills it."""

    def __init__(self, command: list[str], *, log: Path, env: dict[str, str] | None = None) -> None:
        self.command = command
        self.log = log
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts or restarts it."""
        if can_fork(self.command, self._env):
            self._process = Forked(self.command, env=self._env, stdout=self.log)
            return
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self.command, env=self._env, stdout=output, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: it stays alive but does nothing. Returns once each of its threads has stopped."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while self.is_running and not _is_stopped(self.pid):
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.001)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        """Sends SIGTERM. Returns the exit status."""
        assert self._process is not None, "not started"
        self._signal(signal.SIGTERM)
        return self._process.wait(STOP_TIMEOUT_SECONDS)

    def wait(self, timeout_seconds: float) -> int:
        """The exit status of a program that ends by itself."""
        assert self._process is not None, "not started"
        return self._process.wait(timeout_seconds)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            self._process.send_signal(number)  # type: ignore[union-attr]


def _is_stopped(pid: int) -> bool:
    """Whether all threads of the process are stopped. The state follows the name, which is in parentheses."""
    states = (one.read_text().rpartition(") ")[2][0] for one in Path(f"/proc/{pid}/task").glob("*/stat"))
    return all(state == "T" for state in states)
