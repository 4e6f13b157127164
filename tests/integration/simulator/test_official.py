"""The interface documented by the Rinha benchmark."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.simulator.running_simulator import TIMER_SECONDS, TOKEN, Client


async def test_a_payment_is_charged_once_whatever_the_case_of_its_id(client: Client) -> None:
    correlation_id = str(uuid.uuid4())
    assert await client.pay(correlation_id) == 200
    assert await client.pay(correlation_id) == 422
    assert await client.pay(correlation_id.upper(), amount=5) == 422
    _, summary = await client.admin("GET", "payments-summary")
    assert summary["totalRequests"] == 1
    assert summary["totalAmount"] == 19.90


async def test_a_charged_payment_can_be_looked_up_by_its_id_in_any_case(client: Client) -> None:
    correlation_id = str(uuid.uuid4())
    await client.pay(correlation_id, amount=0.125, requestedAt="2025-07-15T12:34:56.1234567+02:00")
    assert await client.get(f"/payments/{correlation_id.upper()}") == (
        200,
        {"correlationId": correlation_id, "amount": 0.12, "requestedAt": "2025-07-15T10:34:56.123456Z"},
    )


ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
JSON = "application/json"
NOTHING = (None, b"")


async def test_answers_have_the_form_of_the_benchmark_s_source(client: Client) -> None:
    """An injected 500 has no body (`Results.StatusCode(500)`); a genuine one has JSON, and may follow the charge."""
    assert await client.raw("GET", f"/payments/{ID}") == (404, *NOTHING)
    assert await client.raw("GET", "/payments/no-uuid") == (400, *NOTHING)
    assert await client.raw("POST", "/payments", b"{") == (400, *NOTHING)
    await client.switch("configurations/failure", {"failure": True})
    assert await client.pay_raw(ID) == (500, *NOTHING)
    await client.switch("configurations/failure", {"failure": False})
    assert await client.pay_raw(ID) == (200, JSON, b'{"message":"payment processed successfully"}')
    status, form, body = await client.pay_raw(ID)
    assert (status, form) == (422, JSON)
    assert json.loads(body)["message"].startswith(f"Payment could not be processed. CorrelationId already exists: {ID}")
    await client.switch("faults", {"error_after_charge_ratio": 1})
    status, form, body = await client.pay_raw(str(uuid.uuid4()))
    assert (status, form, json.loads(body).keys()) == (500, JSON, {"message"})
    await client.switch("faults", {"refused_ratio": 1})
    status, form, body = await client.pay_raw(ID)
    assert (status, form) == (429, "text/plain; charset=utf-8")


async def test_names_of_fields_are_taken_in_any_case(client: Client) -> None:
    body = json.dumps({"CorrelationID": ID, "AMOUNT": 5, "requestedat": "2025-07-15T12:34:56Z"}).encode()
    assert (await client.raw("POST", "/payments", body))[0] == 200
    assert await client.knows(ID)


@pytest.mark.parametrize(
    "change", [{"correlationId": "x"}, {"amount": "19.90"}, {"amount": 0}, {"requestedAt": "x"}, {"requestedAt": None}]
)
async def test_a_malformed_payment_is_refused_and_leaves_no_trace(client: Client, change: dict[str, Any]) -> None:
    assert await client.pay(**{"correlation_id": None, **change}) == 400
    assert (await client.stats())["stored"] == 0


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [(b"{", "application/json", 400), (b"", "application/json", 400), (b"{}", "text/plain", 415)],
)
async def test_a_body_that_is_no_json_is_refused(client: Client, body: bytes, content_type: str, status: int) -> None:
    url = f"{client.program.url}/payments"
    async with client.session.post(url, data=body, headers={"Content-Type": content_type}) as response:
        assert response.status == status


async def test_an_unknown_endpoint_is_not_found(client: Client) -> None:
    assert (await client.get("/"))[0] == 404
    assert (await client.get("/payments"))[0] == 404
    assert (await client.admin("GET", "unknown"))[0] == 404


async def test_the_summary_counts_the_window_with_both_its_ends(client: Client) -> None:
    for second in range(4):
        assert await client.pay(amount=10.10, requestedAt=f"2025-07-15T12:00:0{second}.500Z") == 200
    window = "from=2025-07-15T12:00:01.500Z&to=2025-07-15T12:00:02.500Z"
    url = f"{client.program.url}/admin/payments-summary"
    async with client.session.get(f"{url}?{window}", headers=TOKEN) as response:
        text = await response.text()
    assert text == '{"totalRequests":2,"totalAmount":20.20,"totalFee":1.01,"feePerTransaction":0.05}'
    _, since = await client.admin("GET", "payments-summary?from=2025-07-15T12:00:01.500001Z")
    _, until = await client.admin("GET", "payments-summary?to=2025-07-15T12:00:01.499999Z")
    assert (since["totalRequests"], until["totalRequests"]) == (2, 1)


async def test_a_summary_over_no_moment_is_refused(client: Client) -> None:
    status, answer = await client.admin("GET", "payments-summary?from=yesterday")
    assert status == 400
    assert "from" in answer["message"]


async def test_a_purge_deletes_all_payments(client: Client) -> None:
    correlation_id = str(uuid.uuid4())
    await client.pay(correlation_id)
    assert (await client.admin("POST", "purge-payments"))[0] == 200
    assert not await client.knows(correlation_id)
    assert await client.pay(correlation_id) == 200


async def test_the_delay_comes_before_the_charge(client: Client) -> None:
    assert await client.switch("configurations/delay", {"delay": 60}) == {"config": "delay", "was": 0, "is": 60}
    started = time.monotonic()
    assert await client.pay() == 200
    assert time.monotonic() - started >= 0.06 - TIMER_SECONDS


async def test_an_injected_failure_comes_after_the_delay_and_charges_nothing(client: Client) -> None:
    await client.switch("configurations/delay", {"delay": 60})
    await client.switch("configurations/failure", {"failure": True})
    correlation_id = str(uuid.uuid4())
    started = time.monotonic()
    assert await client.pay(correlation_id) == 500
    assert time.monotonic() - started >= 0.06 - TIMER_SECONDS
    assert not await client.knows(correlation_id)


async def test_a_payment_is_charged_though_its_client_left_during_the_delay(client: Client) -> None:
    await client.switch("configurations/delay", {"delay": 300})
    correlation_id = str(uuid.uuid4())
    reader, writer = await asyncio.open_connection("127.0.0.1", client.program.port)
    body = json.dumps({"correlationId": correlation_id, "amount": 1, "requestedAt": "2025-07-15T12:00:00Z"})
    head = (
        f"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write((head + body).encode())
    await client.until_stats(running=1)
    writer.close()
    await writer.wait_closed()
    assert reader.at_eof()
    assert not await client.knows(correlation_id)
    await client.until(lambda: client.knows(correlation_id))
    await client.until_stats(running=0)


async def test_a_client_that_leaves_before_its_body_is_whole_charges_nothing(client: Client) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", client.program.port)
    writer.write(b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    await client.until_stats(running=1)
    writer.close()
    await writer.wait_closed()
    await client.until_stats(running=0, stored=0)


@pytest.mark.parametrize(
    ("setting", "content"),
    [
        ("delay", {"delay": -1}),
        ("delay", {"delay": 1.5}),
        ("delay", {"delay": 120_001}),
        ("delay", {}),
        ("delay", []),
        ("failure", {"failure": 1}),
        ("token", {"token": ""}),
    ],
)
async def test_a_setting_out_of_range_is_refused(client: Client, setting: str, content: Any) -> None:
    status, _ = await client.admin("PUT", f"configurations/{setting}", content)
    assert status == 400


async def test_the_health_endpoint_is_answered_once_in_its_interval(start: Callable[..., Client]) -> None:
    client = start("--health-interval-seconds", "0.1")
    await client.switch("configurations/delay", {"delay": 70})
    await client.switch("configurations/failure", {"failure": True})
    assert await client.get("/payments/service-health") == (200, {"failing": True, "minResponseTime": 70})
    assert (await client.get("/payments/service-health"))[0] == 429

    async def granted() -> bool:
        return (await client.get("/payments/service-health"))[0] == 200

    await client.until(granted)
    stats = await client.stats()
    assert stats["health_calls"] == 2
    assert stats["health_refused"] >= 1


async def test_more_than_may_run_wait_and_more_than_may_wait_are_sent_away(start: Callable[..., Client]) -> None:
    client = start("--max-concurrent", "1", "--max-waiting", "1")
    await client.switch("configurations/delay", {"delay": 150})
    running = asyncio.create_task(client.pay())
    await client.until_stats(running=1)
    waiting = asyncio.create_task(client.pay())
    await client.until_stats(waiting=1)
    assert await client.pay() == 429
    assert [await running, await waiting] == [200, 200]
    await client.until_stats(running=0, waiting=0, stored=2, refused_by_limit=1)


async def test_the_token_guards_every_administrative_endpoint(start: Callable[..., Client]) -> None:
    client = start("--token", "other")
    for path in ("payments-summary", "payments", "stats", "faults", "unknown"):
        assert (await client.admin("GET", path))[0] == 401
    assert (await client.get("/admin/stats"))[0] == 401


async def test_the_token_can_be_changed(start: Callable[..., Client]) -> None:
    client = start()
    assert await client.admin("PUT", "configurations/token", {"token": "other"}) == (204, None)
    assert (await client.admin("GET", "stats"))[0] == 401
    assert (await client.get("/admin/stats", headers={"X-Rinha-Token": "other"}))[0] == 200
