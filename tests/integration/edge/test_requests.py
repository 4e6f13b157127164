"""What the edge answers to unusual but valid requests, to faulty clients, and while a gateway is killed."""

import asyncio
import gzip
import time
import uuid
from collections import Counter

import aiohttp
import orjson

from tests.support.edge import Edge
from tests.support.raw_http import JSON, Answer, RawConnection, chunk, head, payment, post
from tests.support.services import Gateway

BODY_SECONDS = 10
"""read_body of the Caddyfile."""
GRACE_SECONDS = 3
"""For a machine that is busy."""
H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
CHUNKED = head("POST /payments", {**JSON, "Transfer-Encoding": "chunked"})


def new_id() -> str:
    return str(uuid.uuid4())


def held_back(length: int, **headers: str) -> bytes:
    return head("POST /payments", {**JSON, "Content-Length": str(length), **headers})


async def ask(edge: Edge, *parts: bytes, ends_sending: bool = False, is_head: bool = False) -> Answer:
    async with await RawConnection.open(edge.http_port) as connection:
        await connection.send(*parts)
        if ends_sending:
            connection.end_sending()
        return await connection.answer(is_head=is_head)


async def test_what_is_unusual_but_right_is_served(edge: Edge) -> None:
    utf_8 = payment(new_id())[:-1] + ',"note":"José"}'.encode()
    packed = gzip.compress(payment(new_id()))
    media = "application/json; odata.metadata=minimal; charset=utf8"
    cases: dict[str, tuple[int, tuple[bytes, ...]]] = {
        "UTF-8 of two bytes": (202, post(utf_8)),
        "an offer of h2c": (202, post(payment(new_id()), H2C)),
        "an unknown upgrade": (202, post(payment(new_id()), {"Connection": "Upgrade", "Upgrade": "foo"})),
        "a wish to be asked for the body": (202, post(payment(new_id()), {"Expect": "100-continue"})),
        "chunks": (202, (CHUNKED, chunk(payment(new_id())), chunk(b""))),
        "parameters of the media type": (202, post(payment(new_id()), {"Content-Type": media})),
        "the longest body": (202, post(payment(new_id()).ljust(65_536))),
        "compressed": (415, post(packed, {"Content-Encoding": "gzip"})),
        "a slash at the end": (404, post(payment(new_id()), path="/payments/")),
        "another method": (405, (head(f"PUT /payments/{new_id()}", {"Content-Length": "0"}),)),
    }
    found = {name: (await ask(edge, *parts)).status for name, (_, parts) in cases.items()}
    assert found == {name: status for name, (status, _) in cases.items()}
    for path in ("/livez", "/readyz", "/healthcheck", "/openapi.json", "/payments-summary"):
        got, headed = await ask(edge, head(f"GET {path}")), await ask(edge, head(f"HEAD {path}"), is_head=True)
        assert (headed.status, headed.body) == (got.status, b""), path
        assert headed.headers.get("content-length") == got.headers.get("content-length"), path


async def test_a_body_that_is_too_long_is_refused_at_once_and_its_sender_needs_not_send_it(edge: Edge) -> None:
    for sent in (
        (held_back(65_537),),
        (held_back(70_000, Expect="100-continue"),),
        (held_back(10_000_000),),
        (held_back(70_000), b" " * 70_000),
        (CHUNKED, chunk(b" " * 65_537), chunk(b"")),
    ):
        started = time.monotonic()
        answer = await ask(edge, *sent)
        assert (answer.status, orjson.loads(answer.body)["status"]) == (413, 413)
        assert time.monotonic() - started < GRACE_SECONDS, sent[0]


async def test_a_client_that_ends_its_sending_side_early_gets_408_and_no_error_about_the_payment(
    edge: Edge,
) -> None:
    body = payment(new_id())
    for sent in (post(body), (held_back(len(body) + 1), body), (CHUNKED, chunk(body))):
        answer = await ask(edge, *sent, ends_sending=True)
        # The whole one may have been answered before its end was noticed.
        assert answer.status == 408 or (answer.status == 202 and sent == post(body))
        if answer.status == 408:
            assert answer.headers["content-type"] == "application/problem+json"
            assert b"may be sent again" in answer.body
    assert (await ask(edge, *post(body))).status == 202


async def test_bodies_that_stall_end_in_time_and_cost_no_gateway(edge: Edge) -> None:
    kinds = (
        (held_back(500),),
        (held_back(60_000), b" " * 30_000),
        (held_back(500, Expect="100-continue"),),
        (CHUNKED, chunk(b'{"a":')),
    )

    async def stall(sent: tuple[bytes, ...], *, drips: bool) -> float:
        started = time.monotonic()
        async with await RawConnection.open(edge.http_port) as connection:
            await connection.send(*sent)
            dripping = asyncio.create_task(_drip(connection)) if drips else None
            assert await connection.is_closed_within(BODY_SECONDS + GRACE_SECONDS), sent
            if dripping is not None:
                dripping.cancel()
        return time.monotonic() - started

    stalling = [asyncio.create_task(stall(kinds[i % len(kinds)], drips=i % 2 == 0)) for i in range(200)]
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession() as session:
        while not all(one.done() for one in stalling):
            statuses[await _pay(session, edge)] += 1
            await asyncio.sleep(0.05)
    assert min(await asyncio.gather(*stalling)) > BODY_SECONDS - GRACE_SECONDS, "as long as documented"
    assert set(statuses) == {202}


async def _drip(connection: RawConnection) -> None:
    while True:
        await asyncio.sleep(2)
        await connection.send(b" ")


async def _pay(session: aiohttp.ClientSession, edge: Edge) -> int:
    order = {"correlationId": new_id(), "amount": 1}
    async with session.post(f"http://127.0.0.1:{edge.http_port}/payments", json=order) as response:
        return response.status


async def test_faults_of_a_client_take_no_gateway_out_of_service(edge: Edge) -> None:
    faults = (
        (held_back(500), b"{"),
        (CHUNKED, chunk(b"{"), b"zz\r\n"),
        (CHUNKED, chunk(b" " * 65_537), chunk(b"")),
    )
    async with aiohttp.ClientSession() as session:
        for number in range(60):
            await ask(edge, *faults[number % len(faults)], ends_sending=True)
            started = time.monotonic()
            assert await _pay(session, edge) == 202
            assert time.monotonic() - started < GRACE_SECONDS, "no gateway counts as out of service"


async def test_no_request_is_refused_while_a_gateway_is_killed(edge: Edge, gateways: tuple[Gateway, Gateway]) -> None:
    async with aiohttp.ClientSession() as session:
        before = [await _pay(session, edge) for _ in range(10)]
        paying = [asyncio.create_task(_pay(session, edge)) for _ in range(20)]
        gateways[0].kill()
        paying += [asyncio.create_task(_pay(session, edge)) for _ in range(80)]
        assert {*before, *await asyncio.gather(*paying)} == {202}
