"""A gateway reads exactly the requests of a connection, whatever a client sends."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.raw_http import JSON, RawConnection, chunk, head, payment, post
from tests.support.services import Gateway
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log


@pytest.fixture
async def gateway(nats_server: NatsServer, tmp_path: Path, log: Log) -> AsyncIterator[Gateway]:
    async with aiohttp.ClientSession() as session:
        with Gateway(nats_server.url, tmp_path) as running:
            await running.ready(session)
            yield running


async def _accepted(broker: Broker) -> int:
    return (await broker.log_state(timeout_seconds=2)).last_sequence


@pytest.mark.parametrize("protocol", ["foo", "h2c", "websocket"])
async def test_a_request_hidden_behind_an_upgrade_is_not_served(
    gateway: Gateway, broker: Broker, protocol: str
) -> None:
    hidden = b"".join(post(payment(str(uuid.uuid4()))))
    header, body = post(hidden, {"Connection": "Upgrade", "Upgrade": protocol})
    for parts in ((header + body,), (header, body), (header, body[:10], body[10:])):
        async with await RawConnection.open(gateway.port) as connection:
            await connection.send(*parts, apart_seconds=0.02)
            answer = await connection.answer()
            # What arrives after the answer resets the connection, and the answer can be lost with it.
            assert answer.status == 400 or (answer.status == 0 and len(parts) > 1)
            if answer.status:
                assert answer.headers["content-type"] == "application/problem+json"
                assert orjson.loads(answer.body)["status"] == 400
            assert await connection.is_closed_within(5), "nothing more is read from it"
    assert await _accepted(broker) == 0


async def test_what_cannot_be_read_is_not_answered_in_place_of_the_request_before_it(
    gateway: Gateway, nats_server: NatsServer
) -> None:
    nats_server.pause()
    try:
        async with await RawConnection.open(gateway.port) as connection:
            await connection.send(b"".join(post(payment(str(uuid.uuid4())))), b"NO HTTP\r\n\r\n", apart_seconds=0.1)
            assert (await connection.answer()).status == 0
    finally:
        nats_server.resume()


async def test_a_body_that_is_cut_off_is_no_payment_and_no_fault_of_the_gateway(
    gateway: Gateway, broker: Broker
) -> None:
    body = payment(str(uuid.uuid4()))
    chunked = head("POST /payments", {**JSON, "Transfer-Encoding": "chunked"})
    whole_but_longer = head("POST /payments", {**JSON, "Content-Length": str(len(body) + 1)})
    for sent in (whole_but_longer + body, chunked + chunk(body), chunked + b"%x\r\n" % len(body) + body):
        async with await RawConnection.open(gateway.port) as connection:
            await connection.send(sent, apart_seconds=0.05)
    async with await RawConnection.open(gateway.port) as connection:
        await connection.send(*post(payment(str(uuid.uuid4()))))
        assert (await connection.answer()).status == 202

    async def is_one() -> bool:
        return await _accepted(broker) == 1

    await eventually(is_one, what="only the whole one is in the log")
    assert "Traceback" not in gateway.output()


FORMS = ("usual", "byte by byte", "chunked", "closing", "HTTP/1.0", "expecting", "behind another")
"""The first two are answered without the framework, the others through it (docs/decisions/0056)."""


def _in_form(form: str, body: bytes) -> tuple[bytes, ...]:
    header, _ = post(body)
    parts: dict[str, tuple[bytes, ...]] = {
        "byte by byte": tuple(bytes((byte,)) for byte in header + body),
        "chunked": (head("POST /payments", {**JSON, "Transfer-Encoding": "chunked"}), chunk(body) + chunk(b"")),
        "closing": post(body, {"Connection": "close"}),
        "HTTP/1.0": (header.replace(b"HTTP/1.1", b"HTTP/1.0"), body),
        "expecting": post(body, {"Expect": "100-continue"}),
        "behind another": (b"".join(post(payment(str(uuid.uuid4())))) + header + body,),
    }
    return parts.get(form, (header, body))


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_a_request_gets_the_same_answer(gateway: Gateway, broker: Broker, form: str) -> None:
    known = str(uuid.uuid4())
    statuses = {
        payment(known): 202,
        payment(known, "2.00"): 409,
        payment("no id"): 422,
        payment(known) + b"x": 400,
        payment(known).ljust(65_537): 413,
    }
    for body, status in statuses.items():
        if form == "byte by byte" and status == 413:
            continue
        async with await RawConnection.open(gateway.port) as connection:
            await connection.send(*_in_form(form, body), apart_seconds=0.001 if form == "byte by byte" else 0.02)
            if form == "behind another":
                assert (await connection.answer()).status == 202
            answer = await connection.answer()
        assert answer.status == status
        assert "date" in answer.headers
        if status == 202:
            assert answer.headers["location"] == f"/payments/{known}"
            assert (answer.headers["content-length"], answer.body) == ("0", b"")
        else:
            assert answer.headers["content-type"] == "application/problem+json"
            assert orjson.loads(answer.body)["status"] == status
        assert (answer.headers.get("connection") == "close") == (form in ("closing", "HTTP/1.0"))
    stored = await _accepted(broker)
    assert stored == 1 if form != "behind another" else stored > 1


async def test_a_connection_carries_payments_of_both_ways_and_queries_in_turn(gateway: Gateway) -> None:
    async with await RawConnection.open(gateway.port) as connection:
        for form in ("usual", "chunked", "usual", "expecting", "usual"):
            await connection.send(*_in_form(form, payment(str(uuid.uuid4()))), apart_seconds=0.02)
            assert (await connection.answer()).status == 202
            await connection.send(head("GET /livez"))
            assert (await connection.answer()).status == 204


async def test_payments_sent_without_waiting_are_answered_in_their_order(gateway: Gateway) -> None:
    ids = [str(uuid.uuid4()) for _ in range(20)]
    refused_at_once = b"".join(post(payment("no id")))
    async with await RawConnection.open(gateway.port) as connection:
        await connection.send(b"".join(b"".join(post(payment(one))) + refused_at_once for one in ids))
        for one in ids:
            assert (await connection.answer()).headers["location"] == f"/payments/{one}"
            assert (await connection.answer()).status == 422
