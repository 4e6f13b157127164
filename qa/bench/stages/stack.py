"""A whole stack for one run, started by `tollgate run` with a folder and ports of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from qa.bench.server import BIN
from qa.load.client import NoAnswerError, Origin, Pool
from qa.load.processes import SUPERVISOR, Supervised
from qa.load.provider_records import read_summary

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 15.0
_READY_IN_A_ROW = 8
"""Several answers: the edge asks either gateway, and one being ready does not imply the other is."""
_POLL_SECONDS = 0.05
_OURS = ("DATA_DIR", "NATS_", "PAYMENT_PROCESSOR_", "PROCESSOR_", "TOLLGATE_", "GATEWAY_", "ALLOW_PURGE", "PYTHONPATH")


class Stack:
    """A running stack: its address, its processes and its summary."""

    def __init__(self, folder: Path, first_port: int, settings: Mapping[str, str]) -> None:
        self.edge = Origin("127.0.0.1", first_port)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | {
            "DATA_DIR": str(folder),
            "TOLLGATE_PORT": str(first_port),
            "TOLLGATE_NATS_PORT": str(first_port + 1),
            "TOLLGATE_NATS_MONITOR_PORT": str(first_port + 2),
            "TOLLGATE_GATEWAY_PORT": str(first_port + 3),
            "TOLLGATE_SIMULATOR_PORT": str(first_port + 5),
            "TOLLGATE_CONSOLE_PORT": str(first_port + 7),
            "TOLLGATE_METRICS_PORT": str(first_port + 8),
            **settings,
        }
        self.programs = Supervised(folder)
        self._asking = Pool(self.edge, 1)

    async def settled(self) -> int:
        """The payments in the summary. Raises NoAnswerError."""
        answer = await self._asking.ask(self.edge.request("GET", "/payments-summary"), 10.0)
        if answer.status != 200:
            raise NoAnswerError(f"the summary was answered {answer.status}")
        return read_summary(answer.body).total.count

    async def settled_after(self, count: int, since: float, seconds_max: float) -> float | None:
        """Waits until a summary is answered and has `count` payments.

        Returns the seconds from `since` to then (time.monotonic()), None when it was not so after `seconds_max`.
        """
        while True:
            with contextlib.suppress(NoAnswerError):
                if await self.settled() >= count:
                    return time.monotonic() - since
            seconds = time.monotonic() - since
            if seconds > seconds_max:
                return None
            await asyncio.sleep(_POLL_SECONDS)

    def close(self) -> None:
        self._asking.close()


@asynccontextmanager
async def running_stack(
    folder: Path, first_port: int, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Stack]:
    """Yields a stack with these settings that is ready, and ends it. Raises RuntimeError when it does not get ready."""
    stack = Stack(folder, first_port, settings or {})
    output_path = folder / "output"
    with output_path.open("wb") as output:
        launcher = subprocess.Popen(  # noqa: ASYNC220 - starting a process takes milliseconds
            [BIN / "tollgate", "run"], env=stack.environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not await asyncio.to_thread(_is_ready, stack.edge):
            if launcher.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the stack is not ready: {output_path.read_text()}")
            await asyncio.sleep(_POLL_SECONDS)
        # The edge is ready when payments are accepted; the projector may still be starting.
        if await stack.settled_after(0, time.monotonic(), READY_SECONDS_MAX) is None:
            raise RuntimeError(f"no summary is answered: {output_path.read_text()}")
        yield stack
    finally:
        stack.close()
        launcher.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(launcher.wait, STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            # The supervisor and its programs end with the launcher.
            launcher.kill()
            launcher.wait()


def is_of_the_product(program: str) -> bool:
    """Whether a program's CPU counts as Tollgate's: providers and the supervisor are apart."""
    return program != SUPERVISOR and not program.startswith("simulator-")


def _is_ready(edge: Origin) -> bool:
    for _ in range(_READY_IN_A_ROW):
        connection = http.client.HTTPConnection(edge.host, edge.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status not in {200, 204}:
                return False
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
    return True
