"""The real program as a separate process, used over HTTP."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

SERVICES = Path(__file__).parents[3] / "src"
TOKEN = {"X-Rinha-Token": "123"}
TIMER_SECONDS = 0.002
"""How much too early a timer of the event loop, which counts whole milliseconds, may fire."""


class Program:
    """A running simulator: its process, and where it says it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.first_line = process.stdout.readline().strip()
        self.url = self.first_line.rpartition(" ")[2]
        self.port = int(self.url.rpartition(":")[2])


class Client:
    """What tests say to a running simulator."""

    def __init__(self, program: Program, session: aiohttp.ClientSession) -> None:
        self.program = program
        self.session = session

    async def pay(self, correlation_id: str | None = None, **fields: Any) -> int:
        """Posts a payment and returns the status."""
        payment = {
            "correlationId": correlation_id or str(uuid.uuid4()),
            "amount": 19.90,
            "requestedAt": "2025-07-15T12:34:56.000Z",
            **fields,
        }
        async with self.session.post(f"{self.program.url}/payments", json=payment) as response:
            await response.read()
            return response.status

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        """Gets `path` and returns the status and the JSON; None where there is no body or another one."""
        async with self.session.get(self.program.url + path, **options) as response:
            body = await response.read()
            return response.status, json.loads(body) if response.content_type == "application/json" else None

    async def admin(self, method: str, path: str, content: Any = None) -> tuple[int, Any]:
        """Asks the administration, with the token, and returns the status and the JSON, if any."""
        url = f"{self.program.url}/admin/{path}"
        async with self.session.request(method, url, json=content, headers=TOKEN) as response:
            return response.status, await response.json() if await response.read() else None

    async def raw(self, method: str, path: str, body: bytes = b"") -> tuple[int, str | None, bytes]:
        """Asks as it is, and returns status, Content-Type and body."""
        headers = {"Content-Type": "application/json"}
        url = self.program.url + path
        async with self.session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            return response.status, response.headers.get("Content-Type"), await response.read()

    async def pay_raw(self, correlation_id: str) -> tuple[int, str | None, bytes]:
        """Posts a payment, and returns status, Content-Type and body."""
        payment = {"correlationId": correlation_id, "amount": 19.90, "requestedAt": "2025-07-15T12:34:56.000Z"}
        return await self.raw("POST", "/payments", json.dumps(payment).encode())

    async def switch(self, path: str, content: Any) -> Any:
        """Puts `content`, which must succeed."""
        status, answer = await self.admin("PUT", path, content)
        assert status == 200, answer
        return answer

    async def stats(self) -> dict[str, int]:
        """The counts so far."""
        status, stats = await self.admin("GET", "stats")
        assert status == 200
        return dict(stats)

    async def knows(self, correlation_id: str) -> bool:
        """Whether the payment has been charged."""
        status, _ = await self.get(f"/payments/{correlation_id}")
        return status == 200

    async def until(self, condition: Callable[[], Awaitable[bool]], timeout_seconds: float = 5) -> None:
        """Waits for `condition`."""
        async with asyncio.timeout(timeout_seconds):
            while not await condition():  # noqa: ASYNC110 - it becomes true in another process
                await asyncio.sleep(0.005)

    async def until_stats(self, **expected: int) -> None:
        """Waits for the counts to be as expected."""

        async def as_expected() -> bool:
            return expected.items() <= (await self.stats()).items()

        await self.until(as_expected)


@contextmanager
def program(*arguments: str, **environment: str) -> Iterator[Program]:
    """Runs a simulator on a free port until the block ends."""
    command = [sys.executable, "-m", "tollgate.simulator", "--port", "0", *arguments]
    env = {**os.environ, "PYTHONPATH": str(SERVICES), **environment}
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield Program(process)
        finally:
            process.kill()
