"""What the edge sends to a gateway, recorded by one that answers only health checks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.edge import Edge, listens
from tests.support.raw_http import JSON, RawConnection, chunk, head, payment, post

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
HEALTHY = b"HTTP/1.1 204 No Content\r\n\r\n"
CHUNKED = head("POST /payments", {**JSON, "Transfer-Encoding": "chunked"})
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class Recorder:
    """Keeps each request as it came; ends the connection after the first `cut_off` of them, without an answer."""

    def __init__(self, cut_off: int) -> None:
        self.cut_off = cut_off
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:-2])}
                body = await _body(reader, headers)
                if lines[0].startswith("GET /startedz"):
                    writer.write(HEALTHY)
                    continue
                self.requests.append((lines[0], headers, body))
                if len(self.requests) <= self.cut_off:
                    break
                writer.write(ACCEPTED)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


@asynccontextmanager
async def recorded(folder: Path, *, cut_off: int = 0) -> AsyncIterator[tuple[Edge, Recorder]]:
    recorder = Recorder(cut_off)
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = recorder.serve
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    with Edge(folder, server.sockets[0].getsockname()[1]) as edge:
        await listens(edge, edge.http_port)
        yield edge, recorder
    server.close()


async def status(edge: Edge, *parts: bytes, ends_sending: bool = False) -> int:
    async with await RawConnection.open(edge.http_port) as connection:
        await connection.send(*parts)
        if ends_sending:
            connection.end_sending()
        return (await connection.answer()).status


async def test_a_gateway_gets_one_request_and_no_offers(tmp_path: Path) -> None:
    body = payment(ID)
    offers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AA"}
    async with recorded(tmp_path) as (edge, recorder):
        assert await status(edge, *post(body, {**offers, "Expect": "100-continue"})) == 202
        assert await status(edge, *post(body, {"HTTP2-Settings": "AA", "Upgrade": "foo"})) == 202
        assert await status(edge, CHUNKED, chunk(body), chunk(b"")) == 202
    assert len(recorder.requests) == 3
    for line, headers, received in recorder.requests:
        assert (line, received) == ("POST /payments HTTP/1.1", body)
        assert not {"connection", "upgrade", "http2-settings", "expect"} & set(headers)
        assert len({"content-length", "transfer-encoding"} & set(headers)) == 1, "its end is told in one way"


async def test_a_whole_payment_is_repeated_and_nothing_else_that_changes_state(tmp_path: Path) -> None:
    async with recorded(tmp_path, cut_off=2) as (edge, recorder):
        assert await status(edge, *post(payment(ID))) == 202
        assert len(recorder.requests) == 3
    for path in ("/payments/", "/purge-payments"):
        async with recorded(tmp_path, cut_off=9) as (edge, recorder):
            assert await status(edge, *post(b"{}", path=path)) == 502
            assert len(recorder.requests) == 1, path


async def test_a_body_that_is_not_whole_reaches_no_gateway_as_a_request(tmp_path: Path) -> None:
    body = payment(ID)
    async with recorded(tmp_path) as (edge, recorder):
        for sent in ((head("POST /payments", {**JSON, "Content-Length": "500"}), body), (CHUNKED, chunk(body))):
            assert await status(edge, *sent, ends_sending=True) == 408
        assert await status(edge, CHUNKED, chunk(body), b"zz\r\n") == 400
        assert await status(edge, CHUNKED, chunk(b" " * 65_537), chunk(b"")) == 413
        assert recorder.requests == []
