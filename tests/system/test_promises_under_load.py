"""The whole stack under load, through the edge, while its programs are killed: the promises, payment by payment.

The load and the audit are those of `qa/load/steady.py`, so what is checked here is what `make load` checks.
"""

import asyncio
import json
import sys
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.conditions import eventually
from tests.support.stack import Stack

PROJECT = Path(__file__).parents[2]


async def steady(stack: Stack, *arguments: str) -> dict[str, Any]:
    """Runs the load; what it found. Fails, with its report, unless every promise was kept."""
    default, fallback = stack.simulator_urls
    out = stack.data / f"load-{uuid.uuid4()}.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "qa.load.steady", "--url", stack.url, "--default", default, "--fallback", fallback),
        *("--amounts", "random", "--json", str(out), "--processes-of", str(stack.data)),
        *arguments,
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await asyncio.wait_for(process.communicate(), timeout=120)
    assert process.returncode == 0, report.decode()
    found: dict[str, Any] = json.loads(out.read_text())
    return found


async def test_a_steady_load_is_charged_once_each_also_while_every_program_is_killed(
    tmp_path: Path,
) -> None:
    async with Stack(tmp_path) as stack:
        await assert_the_edge_refuses_bodies_over_64_kb_with_a_problem(stack)
        await steady(stack, "--rate", "300", "--seconds", "12")
        killed = "gateway-1,processor,projector,nats-server,gateway-2,caddy"
        await steady(stack, "--rate", "250", "--seconds", "18", "--kill", killed, "--kill-seed", "1")


async def assert_the_edge_refuses_bodies_over_64_kb_with_a_problem(stack: Stack) -> None:
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{stack.url}/payments", data=b" " * 65_537, headers=headers) as response,
    ):
        assert (response.status, response.content_type) == (413, "application/problem+json")
        assert "Server" not in response.headers


async def test_providers_that_fail_in_every_way_charge_each_payment_once_and_a_second_start_continues(
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path)
    async with aiohttp.ClientSession(headers={"X-Rinha-Token": "123"}) as http:
        async with stack:
            await assert_600_payments_are_charged_once_each(stack, http)
            for url in stack.simulator_urls:
                async with http.put(f"{url}/admin/configurations/failure", json={"failure": True}) as response:
                    assert response.status == 200
            for number in range(600, 650):
                await _pay(stack, http, number)
            await eventually(lambda: _are_charged(stack, http, 600), what="the 50 payments are open")
        # The simulators forget their failure, the log forgets nothing.
        async with stack:
            await eventually(lambda: _are_charged(stack, http, 650), what="the 50 are charged", timeout_seconds=40)


async def assert_600_payments_are_charged_once_each(stack: Stack, http: aiohttp.ClientSession) -> None:
    faults = {
        "jitter_ms": 30,
        "failure_ratio": 0.03,
        "lost_answer_ratio": 0.03,
        "error_after_charge_ratio": 0.03,
        "garbage_ratio": 0.03,
        "refused_ratio": 0.03,
        "close_ratio": 0.03,
    }
    for number in range(100):
        await _pay(stack, http, number)
    for url in stack.simulator_urls:
        async with http.put(f"{url}/admin/faults", json=faults) as response:
            assert response.status == 200
    for number in range(100, 600):
        await _pay(stack, http, number)
    await eventually(lambda: _are_charged(stack, http, 600), what="600 payments are charged", timeout_seconds=60)
    ids: list[str] = []
    for url in stack.simulator_urls:
        async with http.get(f"{url}/admin/payments") as response:
            ids += [json.loads(line)["correlationId"] for line in (await response.read()).splitlines()]
    assert len(ids) == len(set(ids)) == 600


async def _are_charged(stack: Stack, http: aiohttp.ClientSession, count: int) -> bool:
    return await _charged(stack, http) == count


async def _charged(stack: Stack, http: aiohttp.ClientSession) -> int | None:
    """How many payments are in the summary; None while it is refused, as it is for a moment after a start."""
    async with http.get(f"{stack.url}/payments-summary") as response:
        if response.status != HTTPStatus.OK:
            return None
        return sum(int(one["totalRequests"]) for one in (await response.json()).values())


async def _pay(stack: Stack, http: aiohttp.ClientSession, number: int) -> None:
    order = {"correlationId": str(uuid.UUID(int=number + 1)), "amount": 19.90}
    async with http.post(f"{stack.url}/payments", json=order) as response:
        assert response.status == 202, await response.text()
