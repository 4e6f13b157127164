"""A real stack, started as by `make run`, with its own ports and DATA_DIR."""

import asyncio
import http.client
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.support.forked import BIN
from tollgate.stack.credentials import operator_url
from tollgate.stack.settings import Settings, read_settings
from tollgate.stack.supervision import State, ask_states

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
_POLL_SECONDS = 0.05
_READY_IN_A_ROW = 8
"""The edge forwards to either gateway, so one answer does not show that both are ready."""
_PORTS = 12
_FIRST_PORTS = range(20_000, 32_000, _PORTS)
"""Below the ports that the system assigns to outgoing connections."""
_OURS = ("DATA_DIR", "NATS_", "PAYMENT_PROCESSOR_", "TOLLGATE_", "GATEWAY_", "ALLOW_PURGE")


class Stack:
    """Used as `async with Stack(tmp_path) as stack`: ready inside, and gone without a trace of a process after.

    The same object can be started again after `stop`; it then continues with the same data on the same ports.
    """

    def __init__(self, data: Path, *, environment: dict[str, str] | None = None, command: tuple[str, ...] = ()) -> None:
        self.data = data
        self._command = (*command, *stack_command(), "run")
        first = _free_ports()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self.environment = inherited | {
            "DATA_DIR": str(data),
            "TOLLGATE_PORT": str(first),
            "TOLLGATE_NATS_PORT": str(first + 1),
            "TOLLGATE_NATS_MONITOR_PORT": str(first + 2),
            "TOLLGATE_GATEWAY_PORT": str(first + 3),
            "TOLLGATE_SIMULATOR_PORT": str(first + 5),
            "TOLLGATE_CONSOLE_PORT": str(first + 7),
            "TOLLGATE_METRICS_PORT": str(first + 8),
            # Only tests of the console need it.
            "TOLLGATE_CONSOLE": "false",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._family: list[psutil.Process] = []

    @property
    def settings(self) -> Settings:
        return read_settings(self.environment)

    @property
    def url(self) -> str:
        return self.settings.edge_url

    @property
    def nats_url(self) -> str:
        """The operator's."""
        return operator_url(self.settings)

    @property
    def simulator_urls(self) -> tuple[str, str]:
        """Of `default` and `fallback`."""
        return self.settings.provider_urls

    @property
    def output(self) -> str:
        """The output of `tollgate run` so far, over all its starts."""
        return self._output.read_text()

    @property
    def launcher(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the stack was not started"
        return self._process

    async def __aenter__(self) -> Self:
        self.start()
        try:
            await self.wait_ready()
        except BaseException:
            await self.stop(signal.SIGKILL)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def start(self) -> None:
        """Starts `tollgate run` without waiting for it."""
        self.data.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                # Tests that run under nohup would pass on that they ignore SIGHUP.
                ("env", "--default-signal=HUP", *self._command),
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    async def wait_ready(self, *, timeout_seconds: float = READY_SECONDS_MAX) -> None:
        """Waits until the gateways are ready, asked through the edge. Raises AssertionError if not in time."""
        deadline = time.monotonic() + timeout_seconds
        while not await asyncio.to_thread(self._are_ready):
            assert self.launcher.poll() is None, f"`tollgate run` ended:\n{self.output}"
            assert time.monotonic() < deadline, f"not ready after {timeout_seconds} s:\n{self.output}"
            await asyncio.sleep(_POLL_SECONDS)

    def states(self) -> dict[str, State]:
        """Each program's state by its name."""
        return {state.name: state for state in ask_states(self.settings)}

    def pid(self, name: str) -> int:
        """Of a program such as `gateway-1`, or of `supervisord`; 0 while it has no process."""
        if name == "supervisord":
            return int((self.settings.run / "supervisord.pid").read_text())
        return self.states()[name].pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal to a program. Returns the id of its process."""
        pid = self.pid(name)
        assert pid, f"{name} does not run"
        os.kill(pid, number)
        return pid

    async def wait_for_new_pid(self, name: str, old: int, *, timeout_seconds: float = 10.0) -> int:
        """Waits until a program runs as a process other than `old`."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            state = (await asyncio.to_thread(self.states))[name]
            if state.pid not in {0, old}:
                return state.pid
            assert time.monotonic() < deadline, f"{name} did not come back: {state}"
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Sends a signal to `tollgate run` and waits until no process is left; the seconds that took.

        Raises AssertionError when some are left after STOP_SECONDS_MAX; then they are killed.
        """
        began = time.monotonic()
        family = self.processes()
        if self.launcher.poll() is None:
            self.launcher.send_signal(number)
        await asyncio.to_thread(self.launcher.wait)
        left = STOP_SECONDS_MAX - (time.monotonic() - began)
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, max(left, 0))
        for process in alive:
            process.kill()
        assert not alive, f"still there after {STOP_SECONDS_MAX} s: {alive}"
        return time.monotonic() - began

    def processes(self) -> list[psutil.Process]:
        """Every process of this stack, the launcher and the supervisor included."""
        if self.launcher.poll() is None:
            launcher = psutil.Process(self.launcher.pid)
            self._family = [launcher, *launcher.children(recursive=True)]
        return self._family

    @property
    def _output(self) -> Path:
        return self.data / "stack-run.out"

    def _are_ready(self) -> bool:
        return all(self._is_ready() for _ in range(_READY_IN_A_ROW))

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.edge_port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status in {200, 204}
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def stack_command() -> list[str]:
    return [str(BIN / "tollgate")]


def _free_ports() -> int:
    """The first of _PORTS consecutive ports that are free now."""
    candidates = list(_FIRST_PORTS)
    random.shuffle(candidates)
    return next(first for first in candidates if all(map(_is_free, range(first, first + _PORTS))))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
