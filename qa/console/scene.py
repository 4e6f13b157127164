"""A whole stack with its console, and what can be done to it: load, faults of a provider, a stopped program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from qa.bench.server import BIN, wait_for
from qa.bench.stages.stack import Stack, running_stack
from qa.load.client import Origin, Pool
from qa.load.generator import Generator
from qa.load.money import randomly
from qa.load.processes import Supervised
from tollgate.contract.events import PROVIDERS, ProviderName

IN_FLIGHT_MAX = 5_000
CONNECTIONS = 20
ADMIN_TOKEN = ("X-Rinha-Token", "123")
"""The simulated providers' own."""
ANSWER_SECONDS_MAX = 5.0
_FIRST_SIMULATOR, _CONSOLE = 5, 7
"""How far these ports are from the edge's."""


class Scene:
    """A running stack; `console` is the address of its page."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.folder = folder
        self.stack = stack
        self.console = Origin(stack.edge.host, stack.edge.port + _CONSOLE)
        first = stack.edge.port + _FIRST_SIMULATOR
        self._providers = {name: Origin("127.0.0.1", first + index) for index, name in enumerate(PROVIDERS)}

    @property
    def newest_payment(self) -> str:
        """The id of the payment that was accepted last."""
        return next(reversed(self._generator.sent.accepted))

    @asynccontextmanager
    async def load(self, rate_per_second: float) -> AsyncIterator[None]:
        """Pays at this rate until left."""
        async with asyncio.TaskGroup() as group:
            paying = group.create_task(self.pay(rate_per_second, 3_600))
            yield
            paying.cancel()

    async def pay(self, rate_per_second: float, seconds: float) -> None:
        """Pays at this rate for so long."""
        pool = Pool(self.stack.edge, CONNECTIONS)
        try:
            self._generator = Generator(pool, randomly(1), IN_FLIGHT_MAX)
            await self._generator.run(rate_per_second, seconds)
        finally:
            pool.close()

    async def set_provider(self, name: ProviderName, path: str, **values: object) -> None:
        """Changes a simulated provider: `configurations/delay`, `configurations/failure` or `faults`."""
        pool = Pool(self._providers[name], 1)
        try:
            request = pool.origin.request("PUT", f"/admin/{path}", json.dumps(values).encode(), (ADMIN_TOKEN,))
            answer = await pool.ask(request, ANSWER_SECONDS_MAX)
        finally:
            pool.close()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{name} answered {answer.status} to {path}: {answer.body.decode()}")

    @contextlib.contextmanager
    def stopped(self, program: str) -> Iterator[None]:
        """Stops (SIGSTOP) a program of the stack, and continues it."""
        [process] = Supervised(self.folder).find()[program]
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    async def rebuild(self) -> asyncio.subprocess.Process:
        """Starts `projector rebuild`."""
        return await asyncio.create_subprocess_exec(
            *(BIN / "projector", "rebuild"), env=self.stack.environment, stdout=asyncio.subprocess.DEVNULL
        )


@asynccontextmanager
async def running_scene(first_port: int) -> AsyncIterator[Scene]:
    """Yields a scene with a stack of its own in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="tollgate-console-") as name:
        folder = Path(name)
        async with running_stack(folder, first_port) as stack:
            scene = Scene(folder, stack)
            await asyncio.to_thread(wait_for, scene.console.port)
            yield scene
