"""Intermediaries in front of a provider: their answers, and what the provider does meanwhile."""

import asyncio
import uuid
from collections.abc import Callable

import pytest

from tests.integration.simulator.running_simulator import Client

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
NOT_ITS_OWN = {"text/html; charset=utf-8", "application/json; charset=utf-8", "application/octet-stream", None}


async def test_a_proxy_gives_up_at_once_and_the_handler_charges_later(client: Client) -> None:
    await client.switch("configurations/delay", {"delay": 300})
    await client.switch("faults", {"proxy_error_ratio": 1})
    async with asyncio.timeout(0.25):
        status, form, _ = await client.pay_raw(ID)
    assert status in {502, 503, 504, 520, 522, 524}
    assert form in NOT_ITS_OWN
    assert not await client.knows(ID), "a lookup made now has nothing to find"
    await client.until(lambda: client.knows(ID))
    await client.until_stats(charges_behind_proxy=1, running=0)


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("proxy_expired_token_ratio", {401, 403}),
        ("proxy_no_route_ratio", {404}),
        ("proxy_page_ratio", {200, 302}),
    ],
)
async def test_who_stands_before_the_handler_answers_in_its_place(
    client: Client, fault: str, statuses: set[int]
) -> None:
    before = await client.stats()
    await client.switch("faults", {fault: 1})
    ids = [str(uuid.uuid4()) for _ in range(40)]
    told = [await client.pay_raw(each) for each in ids]
    assert {status for status, _, _ in told} == statuses
    assert all(b"payment processed" not in body for _, _, body in told)
    await client.switch("faults", {fault: 0})
    assert not any([await client.knows(each) for each in ids])
    assert (await client.stats())["charges"] == before["charges"]


async def test_of_other_refusals_every_other_one_comes_although_the_handler_charges(client: Client) -> None:
    await client.switch("faults", {"proxy_refusal_ratio": 1, "seed": 1})
    ids = [str(uuid.uuid4()) for _ in range(60)]
    told = [await client.pay_raw(each) for each in ids]
    assert {status for status, _, _ in told} == {400, 405, 408, 409, 413, 425, 451}
    assert {form for _, form, _ in told} == {"text/html; charset=utf-8"}
    await client.until_stats(running=0)
    known = [await client.knows(each) for each in ids]
    assert 10 < sum(known) < 50


async def test_an_ingress_without_a_route_answers_lookups_404_in_another_form_than_the_provider(
    client: Client,
) -> None:
    assert await client.pay(ID) == 200
    await client.switch("faults", {"lookup_no_route_ratio": 1})
    for _ in range(10):
        status, form, body = await client.raw("GET", f"/payments/{ID}")
        assert (status, bool(form), bool(body)) == (404, True, True)


async def test_an_expired_token_is_said_to_lookups_too(client: Client) -> None:
    await client.switch("faults", {"proxy_expired_token_ratio": 1})
    assert (await client.raw("GET", f"/payments/{ID}"))[0] in {401, 403}


async def test_lookups_can_be_refused_while_payments_are_not(client: Client) -> None:
    await client.switch("faults", {"lookup_refused_ratio": 1})
    assert await client.pay(ID) == 200
    assert (await client.raw("GET", f"/payments/{ID}"))[0] == 429


async def test_lookups_wait_for_a_place_beside_the_payments_under_way(start: Callable[..., Client]) -> None:
    client = start("--max-concurrent", "1", "--max-waiting", "0")
    await client.switch("configurations/delay", {"delay": 150})
    running = asyncio.create_task(client.pay(ID))
    await client.until_stats(running=1)
    assert (await client.raw("GET", f"/payments/{ID}"))[0] == 429
    assert await running == 200
    await client.until_stats(running=0)
    assert await client.knows(ID)


async def test_a_lagging_replica_answers_404_in_the_provider_s_own_form_despite_the_charge(client: Client) -> None:
    await client.switch("faults", {"lookup_lag_seconds": 1, "seed": 3})
    before = await client.stats()
    assert await client.pay(ID) == 200
    assert await client.pay(ID) == 422

    async def lagged() -> bool:
        status, form, body = await client.raw("GET", f"/payments/{ID}")
        assert status == 200 or (form, body) == (None, b"")
        return status == 404

    await client.until(lagged)
    assert (await client.stats())["lookups_lagging"] > before["lookups_lagging"]
    await asyncio.sleep(1)
    assert await client.knows(ID)


async def test_a_refusal_of_its_own_has_no_body_charges_nothing_and_is_kept(
    start: Callable[..., Client], tmp_path: object
) -> None:
    book = ("--book", f"{tmp_path}/book")
    first = start(*book, "--fault", "own_refusal_ratio=1")
    assert await first.pay_raw(ID) == (400, None, b"")
    first.program.process.kill()
    second = start(*book)
    assert await second.admin("GET", "refusals") == (200, [ID])
    assert not await second.knows(ID)
    assert await second.pay(ID) == 200


async def test_the_health_of_a_failing_processor_can_come_as_503(start: Callable[..., Client]) -> None:
    client = start("--health-interval-seconds", "0", "--fault", "health_503_ratio=1")
    assert await client.get("/payments/service-health") == (200, {"failing": False, "minResponseTime": 0})
    await client.switch("configurations/failure", {"failure": True})
    assert await client.get("/payments/service-health") == (503, {"failing": True, "minResponseTime": 0})
