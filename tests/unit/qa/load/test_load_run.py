"""The whole load run, for a second, against fakes of gateway and providers."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from qa.load import load_run as trial
from qa.load.client import Origin
from qa.load.kills import PlannedKill
from qa.load.load_run import NotReadyError, Settings, conduct
from qa.load.money import randomly
from qa.load.processes import Given
from qa.load.result import Result

Charge = tuple[str, int, str]
"""Id, cents, requestedAt."""


class FakeGateway:
    """A gateway that charges at once, and what it may do wrong."""

    def __init__(self, *, lose: int = -1, double: int = -1, offers_list: bool = True) -> None:
        self.provider_records: dict[str, list[Charge]] = {"default": [], "fallback": []}
        self.summary: dict[str, list[Charge]] = {"default": [], "fallback": []}
        self._lose, self._double, self._offers_list = lose, double, offers_list
        self._accepted = 0

    def answer(self, server: str, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        url = urlsplit(target)
        window = {name: values[0] for name, values in parse_qs(url.query).items()}
        match method, url.path:
            case "POST", "/payments":
                self._accept(json.loads(body))
                return 202, b""
            case "GET", "/payments-summary":
                return 200, json.dumps({name: totals(self.summary[name], window) for name in self.summary}).encode()
            case "GET", "/admin/payments-summary":
                return 200, json.dumps(totals(self.provider_records[server], window)).encode()
            case "GET", "/admin/payments" if self._offers_list:
                rows = [
                    {"correlationId": i, "amount": c / 100, "requestedAt": at}
                    for i, c, at in self.provider_records[server]
                ]
                return 200, json.dumps(rows).encode()
        return 404, b"{}"

    def _accept(self, payment: dict[str, Any]) -> None:
        number, self._accepted = self._accepted, self._accepted + 1
        provider = "fallback" if number % 3 == 0 else "default"
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        charge = payment["correlationId"], round(payment["amount"] * 100), at
        if number == self._lose:
            return
        self.provider_records[provider].append(charge)
        self.summary[provider].append(charge)
        if number == self._double:
            for ledger in (self.provider_records, self.summary):
                ledger["default" if provider == "fallback" else "fallback"].append(charge)


def totals(charges: list[Charge], window: dict[str, str]) -> dict[str, Any]:
    start, end = datetime.fromisoformat(window["from"]), datetime.fromisoformat(window["to"])
    inside = [cents for _, cents, at in charges if start <= datetime.fromisoformat(at) <= end]
    return {"totalRequests": len(inside), "totalAmount": sum(inside) / 100}


@asynccontextmanager
async def serving(gateway: FakeGateway, server: str) -> AsyncIterator[Origin]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = head.split(b"\r\n")[0].decode().split()
                _, _, length = head.lower().partition(b"content-length: ")
                body = await reader.readexactly(int(length.split()[0])) if length else b""
                status, answer = gateway.answer(server, method, target, body)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        try:
            yield Origin("127.0.0.1", listening.sockets[0].getsockname()[1])
        finally:
            await asyncio.sleep(0.01)  # lets the connections see their end


async def tried(gateway: FakeGateway, **changes: Any) -> Result:
    async with AsyncExitStack() as stack:
        product, default, fallback = [
            await stack.enter_async_context(serving(gateway, name)) for name in ("product", "default", "fallback")
        ]
        parts: dict[str, Any] = {
            "product": product,
            "providers": {"default": default, "fallback": fallback},
            "token": "123",
            "rate_per_second": 100,
            "seconds": 0.5,
            "connections": 4,
            "in_flight_max": 1000,
            "amounts": "random",
            "draw_cents": randomly(1),
            "drain_seconds_max": 0.3,
            "purge": False,
            "programs": None,
            "kills": [],
        }
        return await conduct(Settings(**(parts | changes)))


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CHECK_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(trial, "POLL_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(trial, "RECOVERY_SECONDS_MAX", 0.2)


async def test_an_honest_gateway_is_found_without_fault() -> None:
    found = await tried(FakeGateway())
    assert found.faults() == []
    assert len(found.sent.accepted) == 50
    assert len(found.checks) == 2
    assert found.drain.last.provider_records is not None
    assert found.drain.last.provider_records.total == found.sent.least


async def test_a_lost_payment_is_found() -> None:
    found = await tried(FakeGateway(lose=7))
    assert found.audit is not None
    assert len(found.audit.lost) == 1
    assert found.drain.remainder(50) == 1
    assert any("not settled" in fault for fault in found.faults())


async def test_a_double_charge_is_found_even_when_the_summary_equals_the_provider_records() -> None:
    found = await tried(FakeGateway(double=7))
    assert found.audit is not None
    assert len(found.audit.twice) == 1
    assert found.drain.complete


async def test_without_a_list_of_payments_the_totals_still_betray_a_double_charge() -> None:
    found = await tried(FakeGateway(double=7, offers_list=False))
    assert found.audit is None
    assert "have no list" in found.audit_skipped
    assert found.faults()[0] == "the provider records hold 51 payments, and should hold 50"


async def test_a_named_program_is_killed_measured_and_the_recovery_watched() -> None:
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    programs = partial(Given, {"victim": victim.pid})
    found = await tried(FakeGateway(), programs=programs, kills=[PlannedKill("victim", 0.2)])
    assert await victim.wait() == -9
    assert [(each.program, each.pids) for each in found.kills] == [("victim", (victim.pid,))]
    assert found.kills[0].at_seconds >= 0.2
    assert found.polls[-1].after_seconds > 0.2
    assert found.usage["victim"].rss_bytes_max > 0
    assert found.faults() == []


async def test_without_a_gateway_there_is_no_run() -> None:
    with pytest.raises(NotReadyError, match="gateway: "):
        await tried(FakeGateway(), product=Origin("127.0.0.1", 9))
