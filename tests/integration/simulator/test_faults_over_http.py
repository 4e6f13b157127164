"""The faults beyond those of the benchmark's providers."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.integration.simulator.running_simulator import TIMER_SECONDS, TOKEN, Client
from tollgate.simulator.faults import Dice


async def test_a_failure_ratio_fails_payments_before_the_charge(client: Client) -> None:
    await client.switch("faults", {"failure_ratio": 1})
    correlation_id = str(uuid.uuid4())
    assert await client.pay(correlation_id) == 500
    assert not await client.knows(correlation_id)


async def test_the_same_seed_replays_the_same_run(client: Client) -> None:
    runs = []
    for _ in range(2):
        await client.switch("faults", {"failure_ratio": 0.5, "seed": 42})
        runs.append([await client.pay() for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


async def test_jitter_delays_a_payment_by_what_its_seed_draws(client: Client) -> None:
    faults = {"jitter_ms": 200, "seed": 5}
    expected = Dice(0)
    expected.change(faults)
    await client.switch("faults", faults)
    started = time.monotonic()
    assert await client.pay() == 200
    assert time.monotonic() - started >= expected.draw().jitter_ms / 1000 - TIMER_SECONDS


async def test_a_lost_answer_is_a_charge_whose_connection_drops(client: Client) -> None:
    await client.switch("faults", {"lost_answer_ratio": 1})
    correlation_id = str(uuid.uuid4())
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.pay(correlation_id)
    assert await client.knows(correlation_id)
    assert await client.pay(correlation_id) == 422


async def test_an_error_after_the_charge_looks_like_one_before_it(client: Client) -> None:
    await client.switch("faults", {"error_after_charge_ratio": 1})
    correlation_id = str(uuid.uuid4())
    assert await client.pay(correlation_id) == 500
    assert await client.knows(correlation_id)


async def test_garbage_is_a_charge_answered_with_no_http(client: Client) -> None:
    await client.switch("faults", {"garbage_ratio": 1})
    correlation_id = str(uuid.uuid4())
    with pytest.raises(aiohttp.ClientResponseError):
        await client.pay(correlation_id)
    assert await client.knows(correlation_id)


async def test_a_refused_payment_never_reaches_the_handler(client: Client) -> None:
    await client.switch("configurations/delay", {"delay": 60_000})
    await client.switch("faults", {"refused_ratio": 1})
    correlation_id = str(uuid.uuid4())
    assert await client.pay(correlation_id) == 429
    assert not await client.knows(correlation_id)


async def test_a_keep_alive_connection_can_close_unannounced_after_its_answer(client: Client) -> None:
    await client.switch("faults", {"close_ratio": 1})
    reader, writer = await asyncio.open_connection("127.0.0.1", client.program.port)
    body = json.dumps({"correlationId": str(uuid.uuid4()), "amount": 1, "requestedAt": "2025-07-15T12:00:00Z"})
    head = (
        f"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write((head + body).encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'"payment processed successfully"}')
    assert b"close" not in answer.lower()


async def test_faults_that_end_a_connection_twice_do_no_harm(client: Client) -> None:
    await client.switch("faults", {"lost_answer_ratio": 0.5, "garbage_ratio": 0.5, "close_ratio": 1})
    for _ in range(5):
        with pytest.raises(aiohttp.ClientError):
            await client.pay()
    assert (await client.stats())["stored"] == 5


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("failure_ratio", "injected_failures"),
        ("lost_answer_ratio", "lost_answers"),
        ("error_after_charge_ratio", "errors_after_charge"),
        ("garbage_ratio", "garbage_answers"),
        ("refused_ratio", "refused_by_fault"),
        ("close_ratio", "closed_connections"),
        ("own_refusal_ratio", "own_refusals"),
        ("proxy_expired_token_ratio", "proxy_expired_tokens"),
        ("proxy_no_route_ratio", "proxy_no_routes"),
        ("proxy_page_ratio", "proxy_pages"),
    ],
)
async def test_each_fault_is_counted(client: Client, fault: str, count: str) -> None:
    before = await client.stats()
    await client.switch("faults", {fault: 1})
    with contextlib.suppress(aiohttp.ClientError):
        await client.pay()
    after = await client.stats()
    charged = fault in {"lost_answer_ratio", "error_after_charge_ratio", "garbage_ratio", "close_ratio"}
    assert {name for name in after if after[name] != before[name]} == {count} | (
        {"charges", "stored"} if charged else set()
    )


@pytest.mark.parametrize("faults", [{"unknown": 1}, {"failure_ratio": 2}, [], "text"])
async def test_bad_faults_are_refused(client: Client, faults: Any) -> None:
    before = await client.admin("GET", "faults")
    status, _ = await client.admin("PUT", "faults", faults)
    assert status == 400
    assert await client.admin("GET", "faults") == before


async def test_all_payments_are_listed_line_by_line(client: Client) -> None:
    ids = sorted(str(uuid.uuid4()) for _ in range(1100))
    for start in range(0, len(ids), 100):
        await asyncio.gather(*(client.pay(each) for each in ids[start : start + 100]))
    async with client.session.get(f"{client.program.url}/admin/payments", headers=TOKEN) as response:
        lines = (await response.text()).splitlines()
    records = [json.loads(line) for line in lines]
    assert sorted(record["correlationId"] for record in records) == ids
    assert set(records[0]) == {"correlationId", "amount", "requestedAt", "receivedAt"}
    assert '"amount":19.90,"requestedAt":"2025-07-15T12:34:56.000000Z","receivedAt":"20' in lines[0]


async def test_at_the_limit_payments_fail_and_duplicates_are_still_recognised(start: Callable[..., Client]) -> None:
    client = start("--max-payments", "1")
    correlation_id = str(uuid.uuid4())
    assert await client.pay(correlation_id) == 200
    assert await client.pay() == 500
    assert await client.pay(correlation_id) == 422


async def test_a_pause_refuses_and_closes_connections_and_ends_by_itself(client: Client) -> None:
    charged = str(uuid.uuid4())
    assert await client.pay(charged) == 200
    reader, writer = await asyncio.open_connection("127.0.0.1", client.program.port)
    await client.switch("listening", {"seconds": 0.3})
    assert await asyncio.wait_for(reader.read(), 0.25) == b""
    writer.close()
    await writer.wait_closed()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.pay()

    await client.until(lambda: _listens_again(client))
    assert await client.knows(charged)


async def test_a_payment_under_way_is_charged_though_a_pause_cuts_it_off(client: Client) -> None:
    await client.switch("configurations/delay", {"delay": 100})
    correlation_id = str(uuid.uuid4())
    payment = asyncio.create_task(client.pay(correlation_id))
    await client.until_stats(running=1)
    await client.switch("listening", {"seconds": 0.2})
    with pytest.raises(aiohttp.ClientError):
        await payment
    await client.until(lambda: _listens_again(client))
    await client.until(lambda: client.knows(correlation_id))


@pytest.mark.parametrize("seconds", [0, -1, 120.5, True, "1", None])
async def test_a_pause_out_of_range_is_refused(client: Client, seconds: Any) -> None:
    status, _ = await client.admin("PUT", "listening", {"seconds": seconds})
    assert status == 400


async def _listens_again(client: Client) -> bool:
    try:
        await client.stats()
    except aiohttp.ClientConnectorError:
        return False
    return True
