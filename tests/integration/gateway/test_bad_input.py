"""Bad input over real HTTP is refused with a problem that names the fault, and stores nothing in the log."""

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.support.nats_server import NatsServer
from tests.support.services import Gateway
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
JSON = "application/json"


def order(correlation_id: str = f'"{ID}"', amount: str = "19.90") -> bytes:
    return f'{{"correlationId":{correlation_id},"amount":{amount}}}'.encode()


BODIES: dict[str, tuple[int, bytes]] = {
    "empty": (400, b""),
    "not JSON": (400, b"correlationId=1"),
    "cut off": (400, b'{"correlationId":"' + ID.encode() + b'","amount":19.9'),
    "trailing comma": (400, b'{"correlationId":"' + ID.encode() + b'","amount":1,}'),
    "two values": (400, order() + b"{}"),
    "single quotes": (400, order().replace(b'"', b"'")),
    "a comment": (400, b"/* */" + order()),
    "null": (400, b"null"),
    "a list": (400, b"[]"),
    "a text": (400, b'"x"'),
    "a number": (400, b"1"),
    "not UTF-8": (400, b'{"correlationId":"\xff","amount":1}'),
    "UTF-16": (400, order().decode().encode("utf-16")),
    "a byte order mark": (400, b"\xef\xbb\xbf" + order()),
    "nested too deeply": (400, b"[" * 30_000),
    "a field twice": (400, b'{"amount":1,"correlationId":"' + ID.encode() + b'","amount":2}'),
    "NaN": (400, order(amount="NaN")),
    "Infinity": (400, order(amount="Infinity")),
    "-Infinity": (400, order(amount="-Infinity")),
    "leading zero": (400, order(amount="019.90")),
    "leading plus": (400, order(amount="+1")),
    "hexadecimal": (400, order(amount="0x10")),
    "no correlationId": (422, b'{"amount":19.90}'),
    "no amount": (422, b'{"correlationId":"' + ID.encode() + b'"}'),
    "an empty object": (422, b"{}"),
    "wrong field names": (422, b'{"correlation_id":"' + ID.encode() + b'","value":1}'),
    "correlationId null": (422, order("null")),
    "correlationId a number": (422, order("1")),
    "correlationId a list": (422, order(f'["{ID}"]')),
    "correlationId empty": (422, order('""')),
    "correlationId no UUID": (422, order('"abc"')),
    "correlationId without hyphens": (422, order(f'"{ID.replace("-", "")}"')),
    "correlationId in braces": (422, order(f'"{{{ID}}}"')),
    "correlationId as URN": (422, order(f'"urn:uuid:{ID}"')),
    "correlationId too short": (422, order(f'"{ID[:-1]}"')),
    "correlationId too long": (422, order(f'"{ID}0"')),
    "correlationId with a wrong digit": (422, order(f'"{ID[:-1]}g"')),
    "correlationId with white space": (422, order(f'" {ID}"')),
    "correlationId with a line end": (422, order(f'"{ID}\\n"')),
    "correlationId with digits of another script": (422, order(f'"\uff14{ID[1:]}"')),
    "amount null": (422, order(amount="null")),
    "amount a text": (422, order(amount='"19.90"')),
    "amount true": (422, order(amount="true")),
    "amount a list": (422, order(amount="[1]")),
    "amount an object": (422, order(amount="{}")),
    "zero": (422, order(amount="0")),
    "zero with decimals": (422, order(amount="0.00")),
    "minus zero": (422, order(amount="-0")),
    "negative": (422, order(amount="-19.90")),
    "three decimals": (422, order(amount="19.901")),
    "under a cent": (422, order(amount="0.001")),
    "just over two decimals": (422, order(amount="19.900000000000000001")),
    "1e400": (422, order(amount="1e400")),
    "1e-400": (422, order(amount="1e-400")),
    "an exponent out of range": (422, order(amount="1e99999999999999999999")),
    "over the maximum": (422, order(amount="1000000000.01")),
    "a number of a thousand digits": (422, order(amount="1" * 1_000)),
    "a body over 64 KB": (413, order().ljust(65_537)),
}

MEDIA: dict[str, tuple[int, dict[str, str]]] = {
    "no content type": (415, {}),
    "a form": (415, {"Content-Type": "application/x-www-form-urlencoded"}),
    "plain text": (415, {"Content-Type": "text/plain"}),
    "another charset": (415, {"Content-Type": "application/json; charset=latin-1"}),
    "compressed": (415, {"Content-Type": JSON, "Content-Encoding": "gzip"}),
}

QUERIES: dict[str, str] = {
    "from no time": "from=yesterday",
    "to no time": "to=1",
    "from empty": "from=",
    "from a date alone": "from=2026-01-31",
    "month 13": "from=2026-13-01T00:00:00Z",
    "hour 25": "to=2026-01-31T25:00:00Z",
    "a plus that became a space": "from=2026-01-31T00:00:00+00:00",
    "an offset of 99 hours": "from=2026-01-31T00:00:00%2B99:00",
    "year 0": "from=0000-01-01T00:00:00Z",
    "too long": "from=" + "2" * 1_000,
    "not UTF-8": "from=%ff",
    "from twice": "from=2026-01-31T00:00:00Z&from=2026-02-01T00:00:00Z",
    "asOf no place and no time": "asOf=latest",
    "asOf below zero": "asOf=-1",
    "asOf twice": "asOf=1&asOf=2",
    "an unknown name": "form=2026-01-31T00:00:00Z",
    "reversed": "from=2026-01-31T00:00:01Z&to=2026-01-31T00:00:00Z",
    "too many": "&".join(f"a{number}=1" for number in range(100)),
}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(skip_auto_headers=("Content-Type",)) as opened:
        yield opened


@pytest.fixture
async def gateway(
    nats_server: NatsServer, tmp_path: Path, session: aiohttp.ClientSession, log: Log
) -> AsyncIterator[Gateway]:
    with Gateway(nats_server.url, tmp_path) as running:
        await running.ready(session)
        yield running


async def check(response: aiohttp.ClientResponse, status: int, kind: str) -> None:
    text = await response.text()
    assert response.status == status, f"{kind}: {response.status} {text}"
    assert response.content_type == "application/problem+json", kind
    problem = json.loads(text)
    assert problem["status"] == status, kind
    assert len(problem["detail"]) > 10, f"{kind}: it should be told what is wrong"


async def test_every_kind_of_bad_input_is_refused_and_leaves_no_trace(
    gateway: Gateway, session: aiohttp.ClientSession, broker: Broker
) -> None:
    url = f"{gateway.url}/payments"
    for kind, (status, body) in BODIES.items():
        async with session.post(url, data=body, headers={"Content-Type": JSON}) as response:
            await check(response, status, kind)
    for kind, (status, headers) in MEDIA.items():
        async with session.post(url, data=order(), headers=headers) as response:
            await check(response, status, kind)
    for kind, query in QUERIES.items():
        async with session.get(URL(f"{gateway.url}/payments-summary?{query}", encoded=True)) as response:
            await check(response, 400, kind)
    assert len(BODIES) + len(MEDIA) + len(QUERIES) >= 70
    assert (await broker.log_state(timeout_seconds=2)).last_sequence == 0


async def test_a_body_without_a_length_is_cut_off_at_the_limit(
    gateway: Gateway, session: aiohttp.ClientSession, broker: Broker
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000

    async with session.post(f"{gateway.url}/payments", data=chunks(), headers={"Content-Type": JSON}) as response:
        await check(response, 413, "chunked")
    assert (await broker.log_state(timeout_seconds=2)).last_sequence == 0


async def test_what_is_unusual_but_right_is_accepted(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    for amount in ("19.9", "19.90", "1990e-2", "1.99E1", "0.01", "1", "1000000000"):
        async with session.post(
            f"{gateway.url}/payments",
            data=order(f'"{uuid.uuid4()}"', amount)[:-1] + b', "note": {"a": [1, null]}}',
            headers={"Content-Type": 'Application/JSON; charset="UTF-8"'},
        ) as response:
            assert response.status == 202, f"{amount}: {await response.text()}"


async def test_unknown_paths_and_methods_are_problems_too(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{gateway.url}/nothing") as response:
        await check(response, 404, "unknown path")
    async with session.get(f"{gateway.url}/payments") as response:
        await check(response, 405, "unknown method")
        assert response.headers["Allow"] == "POST"
    for method in ("PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        async with session.request(method, f"{gateway.url}/payments/{ID}") as response:
            await check(response, 405, f"{method} of a payment")
            assert response.headers["Allow"] == "GET, HEAD"
    for method in ("GET", "POST", "PUT"):
        for path in ("/payments/", f"/payments/{ID}/", "/payments-summary/", "/livez/", "/payments%2F"):
            async with session.request(method, URL(f"{gateway.url}{path}", encoded=True), data=order()) as response:
                await check(response, 404, f"{method} {path}")


async def test_head_is_answered_as_get_without_the_body(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    async with session.post(f"{gateway.url}/payments", data=order(), headers={"Content-Type": JSON}) as response:
        assert response.status == 202
    paths = ("/livez", "/readyz", "/startedz", "/healthcheck", "/payments-summary", f"/payments/{ID}", "/payments/x")
    for path in (*paths, "/payments", "/nothing", "/openapi.json", "/docs", "/docs/"):
        async with session.get(f"{gateway.url}{path}", allow_redirects=False) as response:
            status, headers = response.status, response.headers.copy()
        async with session.head(f"{gateway.url}{path}", allow_redirects=False) as response:
            assert (response.status, await response.read()) == (status, b""), path
            for name in ("Content-Length", "Content-Type", "Allow", "Location"):
                assert response.headers.getall(name, []) == headers.getall(name, []), f"{path}: {name}"
