"""The k6 scenarios end to end: they pass on the real stack, and the thresholds detect every fault of a gateway."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.ports import free_port
from tests.support.stack import Stack

PROJECT = Path(__file__).parents[2]
RUN = PROJECT / "qa" / "load" / "k6" / "run"
CROSSED = 99
"""How k6 ends when a threshold is crossed."""
ABORTED = 108


def has_k6() -> bool:
    return subprocess.run([str(RUN), "--find"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not has_k6(), reason="k6 is not installed: go install go.k6.io/k6@latest")


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    said: str
    found: dict[str, Any]

    @property
    def crossed(self) -> set[str]:
        """The metrics whose thresholds were crossed."""
        return {one["metric"] for one in self.found["thresholds"] if not one["passed"]}


async def drive(scenario: str, out: Path, gateway: str, providers: tuple[str, str], **settings: object) -> Ended:
    default, fallback = providers
    environment = {
        "BASE_URL": gateway,
        "PROCESSOR_DEFAULT_URL": default,
        "PROCESSOR_FALLBACK_URL": fallback,
        "OUT": str(out),
        **{name: str(value) for name, value in settings.items()},
    }
    process = await asyncio.create_subprocess_exec(
        *(str(RUN), scenario),
        env=os.environ | environment,
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), timeout=120)
    except BaseException:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, said.decode(), json.loads(await asyncio.to_thread(out.read_text)))


@pytest.mark.parametrize("scenario", ["preview", pytest.param("ramp", marks=pytest.mark.soak)])
async def test_the_stack_passes_a_shortened_scenario(tmp_path: Path, scenario: str) -> None:
    async with Stack(tmp_path / "stack", environment={"ALLOW_PURGE": "true"}) as stack:
        out = tmp_path / "found.json"
        ended = await drive(scenario, out, stack.url, stack.simulator_urls, SCALE=0.25, MAX_VUS=100, RATE=200)
    assert ended.status == 0, ended.said
    found = ended.found
    assert found["passed"] is True
    assert found["payments"]["accepted"] > 100
    assert found["payments"]["refused"] == 0
    assert found["inconsistent"] == {"payments": 0, "cents": 0}
    assert (found["lag"]["payments"], found["lag"]["cents"]) == (0, 0)
    assert found["windows"]["checked"] == found["windows"]["due"] > 3
    assert found["score"]["total_cents"] > 0
    assert ended.said.splitlines()[-1].split(maxsplit=1) == ["verdict", "every threshold kept"]


async def test_a_stack_that_does_not_allow_the_purge_is_not_measured(tmp_path: Path) -> None:
    async with Stack(tmp_path / "stack") as stack:
        out = tmp_path / "found.json"
        ended = await drive("preview", out, stack.url, stack.simulator_urls, SCALE=0.02, MAX_VUS=5)
        assert ended.status == ABORTED
        assert "ALLOW_PURGE=true" in ended.said
        assert ended.found["passed"] is False
        # It can be measured all the same, beside what it holds.
        ended = await drive("preview", out, stack.url, stack.simulator_urls, SCALE=0.02, MAX_VUS=5, PURGE="false")
        assert ended.status == 0, ended.said


Handler = Callable[[web.Request], Awaitable[web.Response]]


class Gateway:
    """A gateway and both of its processors in one, exact and honest until `lie` says otherwise.

    A processor here is a list of charges: when, and how many cents.
    """

    def __init__(self, lie: str) -> None:
        self._lie = lie
        self._charged: dict[str, list[tuple[datetime, int]]] = {"default": [], "fallback": []}
        self._payments = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/payments", self._pay)
        application.router.add_get("/payments-summary", self._summarise)
        application.router.add_post("/purge-payments", self._agree)
        for name in self._charged:
            application.router.add_get(f"/{name}/admin/payments-summary", self._admin_summary(name))
            application.router.add_post(f"/{name}/admin/purge-payments", self._agree)
            application.router.add_put(f"/{name}/admin/configurations/delay", self._agree)
            application.router.add_put(f"/{name}/admin/configurations/failure", self._agree)
        return application

    async def _pay(self, _: web.Request) -> web.Response:
        self._payments += 1
        if self._lie == "answers 503 to all":
            return web.Response(status=503)
        if self._payments % 3:
            self._charge("default", 1990)
            return web.Response(status=202)
        return self._pay_as_the_lie_says()

    def _pay_as_the_lie_says(self) -> web.Response:
        if self._lie == "answers 503 to some":
            return web.Response(status=503)
        if self._lie == "loses some":
            return web.Response(status=202)
        if self._lie == "charges some twice":
            self._charge("fallback", 1990)
        self._charge("default", 1991 if self._lie == "charges a cent more" else 1990)
        return web.Response(status=200 if self._lie == "answers 200 to some" else 202)

    async def _summarise(self, request: web.Request) -> web.Response:
        if self._lie == "answers no windows" and request.query:
            return web.Response(status=500)
        if self._lie == "answers no summary that can be read":
            return web.json_response({})
        default, fallback = (list(self._totals(name, request)) for name in self._charged)
        if self._lie == "adds a payment to the summary":
            default[0] += 1
        if self._lie == "takes a cent from the summary":
            fallback[1] -= 1
        if self._lie == "moves a payment to the other processor" and default[0]:
            default, fallback = [default[0] - 1, default[1] - 1990], [fallback[0] + 1, fallback[1] + 1990]
        return web.Response(
            text=f'{{"default": {{"totalRequests": {default[0]}, "totalAmount": {default[1] / 100:.2f}}},'
            f' "fallback": {{"totalRequests": {fallback[0]}, "totalAmount": {fallback[1] / 100:.2f}}}}}'
        )

    def _admin_summary(self, name: str) -> Handler:
        async def summarise(request: web.Request) -> web.Response:
            assert request.headers["X-Rinha-Token"] == "123"
            payments, cents = self._totals(name, request)
            return web.Response(
                text=f'{{"totalRequests": {payments}, "totalAmount": {cents / 100:.2f},'
                ' "totalFee": 0, "feePerTransaction": 0.05}'
            )

        return summarise

    def _charge(self, name: str, cents: int) -> None:
        self._charged[name].append((datetime.now(UTC), cents))

    def _totals(self, name: str, request: web.Request) -> tuple[int, int]:
        """Payments and cents of the window that is asked for."""
        start = datetime.fromisoformat(request.query.get("from", "1970-01-01T00:00:00Z"))
        end = datetime.fromisoformat(request.query.get("to", "9999-01-01T00:00:00Z"))
        cents = [cents for at, cents in self._charged[name] if start <= at <= end]
        return len(cents), sum(cents)

    async def _agree(self, _: web.Request) -> web.Response:
        return web.json_response({})


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[str]:
    runner = web.AppRunner(gateway.application())
    await runner.setup()
    try:
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


LIES: dict[str, set[str]] = {
    "none": set(),
    "loses some": {"lag", "lag_cents"},
    "charges some twice": {"lag", "lag_cents"},
    "charges a cent more": {"lag_cents"},
    "adds a payment to the summary": {"inconsistent_payments"},
    "takes a cent from the summary": {"inconsistent_cents"},
    "moves a payment to the other processor": {"inconsistent_payments", "inconsistent_cents"},
    "answers 200 to some": {"refused", "lag", "lag_cents"},
    "answers 503 to some": {"refused", "http_req_failed"},
    "answers 503 to all": {"refused", "http_req_failed", "accepted"},
    "answers no windows": {"windows_checked", "http_req_failed"},
    "answers no summary that can be read": {"windows_checked", "books_closed", "lag", "lag_cents"},
}
"""Each fault, and the metrics whose thresholds it must cross: those and no others."""


@pytest.mark.parametrize("lie", LIES)
async def test_each_lie_crosses_its_thresholds(tmp_path: Path, lie: str) -> None:
    async with serving(Gateway(lie)) as url:
        providers = (f"{url}/default", f"{url}/fallback")
        out = tmp_path / "found.json"
        ended = await drive("preview", out, url, providers, SCALE=0.02, MAX_VUS=10, DRAIN_SECONDS=1)
    assert ended.crossed == LIES[lie], ended.said
    assert ended.status == (CROSSED if LIES[lie] else 0)
    assert ended.found["passed"] is (not LIES[lie])
    if lie == "charges some twice":
        assert ended.found["lag"]["payments"] < 0
        assert ended.found["score"]["disqualified"] is True


def test_every_threshold_is_crossed_by_some_lie() -> None:
    inspected = subprocess.run(
        [_k6(), "inspect", str(RUN.with_name("preview.js"))], capture_output=True, text=True, timeout=60, check=True
    )
    assert set.union(*LIES.values()) == set(json.loads(inspected.stdout)["thresholds"])


def _k6() -> str:
    return subprocess.run([str(RUN), "--find"], capture_output=True, text=True, check=True).stdout.strip()
