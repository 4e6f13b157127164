"""What the HTTP client makes of each way in which a server can answer, over real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.authority import make_authority
from tests.support.conditions import eventually
from tests.support.ports import free_port
from tollgate.processor.charging import http_client
from tollgate.processor.charging.http_client import ANSWER_BYTES_MAX, CutOffError, HttpClient, NotSentError, Origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOT_REUSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request with the given parts, then ends the connection if told so."""

    def __init__(self, parts: Sequence[bytes], *, ends: bool) -> None:
        self.parts = parts
        self.ends = ends
        self.connections = 0
        self.requests: list[bytes] = []
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head + await reader.readexactly(_length_of(head)))
                parts, ends = self.parts, self.ends
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    # So that each part arrives alone.
                    await asyncio.sleep(0.002)
                if ends:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


def _length_of(head: bytes) -> int:
    _, _, after = head.partition(b"Content-Length: ")
    return int(after.split(b"\r\n")[0] or b"0")


@asynccontextmanager
async def serving(*parts: bytes, ends: bool = False) -> AsyncIterator[tuple[Server, HttpClient, Origin]]:
    server, client, port = Server(parts, ends=ends), HttpClient(connections_max=4), free_port()
    async with await asyncio.start_server(server.serve, "127.0.0.1", port):
        try:
            yield server, client, Origin.of(f"http://127.0.0.1:{port}/base", {"X-Token": "123"})
        finally:
            client.close()


async def post(client: HttpClient, origin: Origin, *, timeout_seconds: float = 5) -> tuple[int, bytes]:
    received = await client.ask(origin, origin.post("/payments", b"{}"), timeout_seconds=timeout_seconds)
    return received.reply.status, received.reply.body


async def test_a_request_is_exactly_this() -> None:
    async with serving(OK) as (server, client, origin):
        assert await post(client, origin) == (200, b"ok")
        assert server.requests == [
            b"POST /base/payments HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\n"
            b"Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: tollgate\r\nX-Token: 123\r\n"
            b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % origin.port
        ]
        await client.ask(origin, origin.get("/payments/1"), timeout_seconds=5)
        assert server.requests[1].startswith(b"GET /base/payments/1 HTTP/1.1\r\nHost: 127.0.0.1")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://pay.test", b"Host: pay.test\r\n"),
        ("http://pay.test:8080", b"Host: pay.test:8080\r\n"),
        ("https://pay.test:443", b"Host: pay.test\r\n"),
        ("https://pay.test:80", b"Host: pay.test:80\r\n"),
        ("http://[::1]:81/x", b"Host: [::1]:81\r\n"),
    ],
)
def test_the_host_of_an_origin(url: str, host: bytes) -> None:
    assert host in Origin.of(url, {}).head


WHOLE: dict[str, tuple[Sequence[bytes], tuple[int, bytes]]] = {
    "byte by byte": ([bytes([one]) for one in OK], (200, b"ok")),
    "chunked": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"],
        (200, b"ok"),
    ),
    "without a body": ([b"HTTP/1.1 204 No Content\r\n\r\n"], (204, b"")),
    "after an interim answer": ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], (200, b"ok")),
    "with an interim answer": ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK], (200, b"ok")),
    "a redirect": ([b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"], (302, b"")),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_answer_is_received_and_its_connection_is_kept(name: str) -> None:
    parts, expected = WHOLE[name]
    async with serving(*parts) as (server, client, origin):
        assert [await post(client, origin) for _ in range(3)] == [expected] * 3
        assert (server.connections, len(server.requests)) == (1, 3)


WHOLE_AND_NOT_KEPT: dict[str, tuple[bytes, bool, int]] = {
    "it announces the end": (NOT_REUSED, False, 200),
    "HTTP/1.0": (OK.replace(b"1.1", b"1.0"), False, 200),
    "a second answer follows at once": (OK + OK, False, 200),
    "rubbish follows at once": (OK + b"rubbish", False, 200),
    "without a length, up to the end": (b"HTTP/1.1 200 OK\r\n\r\nok", True, 200),
    "it ends afterwards": (OK, True, 200),
    "it changes to another protocol": (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nok",
        False,
        101,
    ),
}


@pytest.mark.parametrize("name", WHOLE_AND_NOT_KEPT)
async def test_a_connection_is_not_kept_when(name: str) -> None:
    answer, ends, status = WHOLE_AND_NOT_KEPT[name]
    async with serving(answer, ends=ends) as (server, client, origin):
        for number in range(1, 4):
            assert (await post(client, origin))[0] == status
            await eventually(lambda: _is(server.open == 0), what="the connection is closed")
            assert (server.connections, len(server.requests)) == (number, number)


async def _is(condition: bool) -> bool:
    return condition


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async with serving(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother") as (server, client, origin):
        assert await post(client, origin) == (200, b"ok")
        await eventually(lambda: _is(server.open == 0), what="the connection is closed")
        assert await post(client, origin) == (200, b"ok")
        assert server.connections == 2


CUT_OFF: dict[str, Sequence[bytes]] = {
    "at once": [],
    "in the header": [b"HTTP/1.1 200 OK\r\nContent-Le"],
    "in the body": [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"],
    "in a chunk": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok"],
    "before the last chunk": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"],
    "after an interim answer": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "no HTTP": [b"220 mail.test ESMTP\r\n"],
    "two lengths": [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
    "a long body": [b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", b"x" * (ANSWER_BYTES_MAX + 1)],
    "a long body without a length": [b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (ANSWER_BYTES_MAX + 1)],
    "a long header": [b"HTTP/1.1 200 OK\r\n", *([b"X: " + b"x" * 30_000 + b"\r\n"] * 5)],
}


@pytest.mark.parametrize("name", CUT_OFF)
async def test_an_answer_is_cut_off(name: str) -> None:
    async with serving(*CUT_OFF[name], ends=True) as (server, client, origin):
        for number in range(1, 3):
            with pytest.raises(CutOffError):
                await post(client, origin)
            # A POST is never sent a second time.
            assert (server.connections, len(server.requests)) == (number, number)


async def test_a_body_of_the_longest_allowed_length_is_received() -> None:
    body = b"x" * ANSWER_BYTES_MAX
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body) as (_, client, origin):
        assert await post(client, origin) == (200, body)


async def test_a_kept_connection_that_is_cut_off_costs_a_repeatable_request_nothing_and_a_charge_its_answer() -> None:
    async with serving(OK) as (server, client, origin):
        await post(client, origin)
        # From now on a request on the kept connection is read and not answered.
        server.parts, server.ends = [], True
        with pytest.raises(CutOffError):
            await post(client, origin)
        assert (server.connections, len(server.requests)) == (1, 2)

        server.parts, server.ends = [OK], False
        await post(client, origin)
        server.parts, server.ends = [], True
        with pytest.raises(CutOffError):
            await client.ask(origin, origin.get("/payments/1"), timeout_seconds=5, is_repeatable=True)
        # Once on the kept connection and once on a new one.
        assert (server.connections, len(server.requests)) == (3, 5)


async def test_no_answer_in_time_ends_the_connection() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n") as (server, client, origin):
        with pytest.raises(TimeoutError):
            await post(client, origin, timeout_seconds=0.1)
        await eventually(lambda: _is(server.open == 0), what="the connection is closed")


async def test_a_cancelled_request_ends_its_connection_and_frees_its_place() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n") as (server, client, origin):
        for _ in range(6):
            asking = asyncio.ensure_future(post(client, origin))
            seen = len(server.requests) + 1
            await eventually(lambda seen=seen: _is(len(server.requests) == seen), what="it is sent")  # type: ignore[misc]
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        await eventually(lambda: _is(server.open == 0), what="the connections are closed")


async def test_no_more_requests_are_under_way_than_connections_are_allowed() -> None:
    async with serving() as (server, client, origin):
        asked = [asyncio.ensure_future(post(client, origin, timeout_seconds=0.3)) for _ in range(6)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(type(one).__name__ for one in outcomes) == ["NotSentError"] * 2 + ["TimeoutError"] * 4
        assert len(server.requests) == 4


async def test_idle_connections_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "KEEPALIVE_SECONDS", 0.1)
    async with serving(OK) as (server, client, origin):
        await asyncio.gather(*(post(client, origin) for _ in range(3)))
        assert server.open == 3
        await eventually(lambda: _is(server.open == 0), what="the connections are closed")


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_nothing_is_sent_where_nobody_listens(host: str) -> None:
    client, origin = HttpClient(connections_max=1), Origin.of(f"http://{host}:{free_port()}", {})
    for _ in range(2):
        with pytest.raises(NotSentError):
            await post(client, origin)


async def test_nothing_is_sent_to_a_server_that_does_not_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "CONNECT_TIMEOUT_SECONDS", 0.1)
    # An address for documentation (RFC 5737): packets to it are dropped or refused.
    client, origin = HttpClient(connections_max=1), Origin.of("http://192.0.2.1:81", {})
    with pytest.raises(NotSentError):
        await post(client, origin)


async def test_nothing_is_sent_once_it_may_not_leave() -> None:
    async with serving(OK) as (server, client, origin):
        for _ in range(2):
            with pytest.raises(NotSentError):
                await client.ask(origin, origin.get("/x"), timeout_seconds=5, may_leave=lambda: False)
        assert server.requests == []
        await client.ask(origin, origin.get("/x"), timeout_seconds=5, may_leave=lambda: True)
        await eventually(lambda: _is(server.open == 0), what="its own connection is closed")


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the client trust an authority besides the system's."""
    original = ssl.create_default_context

    def trust(ca_file: str) -> None:
        monkeypatch.setattr(ssl, "create_default_context", lambda: original(cafile=ca_file))

    return trust


async def test_a_server_with_tls_is_asked_only_if_its_certificate_is_trusted(
    tmp_path: Path, trusting: Callable[[str], None]
) -> None:
    authority = make_authority(tmp_path / "authority")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate, authority.key)
    server, port = Server([OK], ends=False), free_port()
    async with await asyncio.start_server(server.serve, ["127.0.0.1", "127.0.0.2"], port, ssl=context):
        origin = Origin.of(f"https://localhost:{port}", {})
        with pytest.raises(NotSentError, match="TLS: "):
            await post(HttpClient(connections_max=1), origin)
        assert server.requests == []
        trusting(authority.ca)
        client = HttpClient(connections_max=1)
        assert await post(client, origin) == (200, b"ok")
        # The certificate names localhost and 127.0.0.1 only.
        with pytest.raises(NotSentError, match="TLS: "):
            await post(client, Origin.of(f"https://127.0.0.2:{port}", {}))
        client.close()
    assert len(server.requests) == 1
