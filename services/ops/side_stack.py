"""A second stack beside one that may be running, with its own folder and ports."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from tollgate.ops.errors import ReplayError
from tollgate.runtime.lifeline import die_with_parent
from tollgate.stack.settings import read_settings
from tollgate.stack.tail import last_lines

START_SECONDS_MAX = 120.0
BUILD_SECONDS_MAX = 3_600.0
"""With an archive: its projector answers only when it has read the archive through."""
STOP_SECONDS_MAX = 15.0
_POLL_SECONDS = 0.2
_PORTS = ("PORT", "NATS_PORT", "NATS_MONITOR_PORT", "GATEWAY_PORT", "SIMULATOR_PORT")
_OURS = ("DATA_DIR", "ARCHIVE_DIR", "NATS_", "PAYMENT_PROCESSOR_", "TOLLGATE_", "GATEWAY_", "ALLOW_PURGE")


class SideStack:
    """`tollgate run` in `data`; with simulated processors, or without any (`charges`), and with the log's archive."""

    def __init__(self, data: Path, *, charges: bool, archive_dir: Path | None = None) -> None:
        ports = {f"TOLLGATE_{name}": str(port) for name, port in zip(_PORTS, _free_ports(len(_PORTS)), strict=True)}
        none = {"TOLLGATE_CONSOLE": "false", "TOLLGATE_METRICS_PORT": "0", "OTEL_SDK_DISABLED": "true"}
        own = {**ports, **none, "DATA_DIR": str(data), "TOLLGATE_CHARGES": str(charges).lower()}
        self._start_seconds_max = START_SECONDS_MAX if archive_dir is None else BUILD_SECONDS_MAX
        if archive_dir is not None:
            own["ARCHIVE_DIR"] = str(archive_dir)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self._environment = {**inherited, **own}
        self._output = data / "stack-run.out"
        self.settings = read_settings(own)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the stack while the context is held. Raises ReplayError when it does not become ready."""
        process = self._start()
        try:
            await asyncio.to_thread(self._wait_until_up, process)
            yield
        finally:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with self._output.open("wb") as file:
            return subprocess.Popen(  # noqa: S603
                [str(self.settings.programs / "tollgate"), "run"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # A new session: Ctrl-C in the terminal reaches only this program, which then stops the other.
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509 - two system calls
            )

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_seconds_max
        while time.monotonic() < deadline and process.poll() is None:
            if "Tollgate is up" in self._output.read_text():
                return
            time.sleep(_POLL_SECONDS)
        raise ReplayError("the stack does not come up: " + " / ".join(last_lines(self._output, 3)))


def _free_ports(count: int) -> list[int]:
    """Free ports, of which the next one is free, too: a second program of the same kind uses it."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            first, second = held.enter_context(socket.socket()), held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                ports.append(port)
    return ports
