"""Every service is restarted under load, one after the other: nobody who pays notices.

Only the broker cannot be replaced while it is used, as long as there is one: payments then wait for it, and those that
have waited too long are told to come back.
"""

import asyncio
import json
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.conditions import eventually
from tests.support.stack import Stack

PROJECT = Path(__file__).parents[2]
SERVICES = ("gateway-1", "processor", "gateway-2", "projector")
RATE = 120
ROLLING_SECONDS = 6.0
BROKER_SECONDS = 3.0
SLOW_CLIENTS = 100
HEADER_SECONDS_MAX = 5.0
"""How long the edge waits for a request's header."""


async def pay_while(stack: Stack, restarting: asyncio.Task[None], seconds: float) -> dict[str, Any]:
    """Pays at a constant rate for so long, in which `restarting` has to end; what the load and its audit found."""
    default, fallback = stack.simulator_urls
    out = stack.data / f"load-{uuid.uuid4()}.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "qa.load.steady", "--url", stack.url, "--default", default, "--fallback", fallback),
        *("--rate", str(RATE), "--seconds", str(seconds), "--json", str(out)),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await asyncio.wait_for(process.communicate(), timeout=90)
    assert process.returncode == 0, report.decode()
    assert restarting.done(), "the load ended before the restarts did"
    restarting.result()
    found: dict[str, Any] = json.loads(await asyncio.to_thread(out.read_text))
    return found


async def charged_payments(stack: Stack) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{stack.url}/payments-summary") as response:
        assert response.status == 200, await response.text()
        return sum(one["totalRequests"] for one in (await response.json()).values())


async def answers_summaries(stack: Stack) -> bool:
    async with aiohttp.ClientSession() as http, http.get(f"{stack.url}/payments-summary") as response:
        return response.status == 200


async def restart(stack: Stack, names: tuple[str, ...]) -> None:
    """Restarts them one after the other, as soon as the load has begun."""
    # A gateway is ready before the projector answers.
    await eventually(lambda: answers_summaries(stack), what="summaries are answered")
    charged = await charged_payments(stack)

    async def is_loaded() -> bool:
        return await charged_payments(stack) > charged + RATE / 4

    await eventually(is_loaded, what="payments are charged")
    for name in names:
        old = await asyncio.to_thread(stack.kill, name, signal.SIGTERM)
        await stack.wait_for_new_pid(name, old, timeout_seconds=20)
        # The next one only when this one is there again, as an operator does it.
        await stack.wait_ready()


@asynccontextmanager
async def slow_clients(stack: Stack) -> AsyncIterator[None]:
    """Clients that begin a request and never go on with it; at the end the edge has closed every one of them."""
    edge = ("127.0.0.1", stack.settings.edge_port)
    clients = [await asyncio.open_connection(*edge) for _ in range(SLOW_CLIENTS)]
    for _, writer in clients:
        writer.write(b"POST /payments HTTP/1.1\r\nHost: x\r\n")
    try:
        yield
        async with asyncio.timeout(HEADER_SECONDS_MAX):
            for reader, _ in clients:
                await reader.read()
    finally:
        for _, writer in clients:
            writer.close()


async def test_a_restart_of_every_service_refuses_and_drops_no_payment(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        restarting = asyncio.ensure_future(restart(stack, SERVICES))
        async with slow_clients(stack):
            requests = (await pay_while(stack, restarting, ROLLING_SECONDS))["requests"]
        assert (requests["retries"], requests["connection_errors"]) == (0, 0), requests
        assert requests["statuses"] == {"202": requests["offered"]}
        for name in SERVICES:
            said = (stack.settings.logs / f"{name}.log").read_text()
            assert not [word for word in ("Traceback", "CRITICAL", "anew") if word in said], said
        # A clean end each: none had to be killed, and none failed.
        supervisor = (stack.settings.logs / "supervisord.log").read_text()
        assert supervisor.count("exit status 0") == len(SERVICES), supervisor

        # The one exception. Nothing that was accepted is lost by it, and nobody is told no for good.
        restarting = asyncio.ensure_future(restart(stack, ("nats-server",)))
        requests = (await pay_while(stack, restarting, BROKER_SECONDS))["requests"]
        assert set(requests["statuses"]) <= {"202", "503"}, requests
        assert requests["connection_errors"] == 0
