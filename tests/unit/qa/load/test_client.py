import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from qa.load.client import CutOffError, Origin, Pool, UnreachableError

Reply = Callable[[int, asyncio.StreamWriter], None]


@asynccontextmanager
async def server(reply: Reply) -> AsyncIterator[Origin]:
    """Calls `reply` for each GET it gets, with the number of the connection the request came on."""
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        number = len(connections)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                reply(number, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield Origin("127.0.0.1", listening.sockets[0].getsockname()[1])
        for writer in connections:
            writer.close()
        await asyncio.sleep(0)


def whole(number: int, writer: asyncio.StreamWriter) -> None:
    body = f"on {number}".encode()
    writer.write(b"HTTP/1.1 200 OK\r\nX-Seen: yes\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def test_a_connection_is_used_again() -> None:
    async with server(whole) as origin:
        pool = Pool(origin, 1)
        answers = [await pool.ask(origin.request("GET", "/"), 1.0) for _ in range(3)]
        pool.close()
    assert [answer.body for answer in answers] == [b"on 1"] * 3
    assert {answer.headers["x-seen"] for answer in answers} == {"yes"}
    assert all(0 < answer.answered_at - answer.sent_at < 1 for answer in answers)


async def test_a_chunked_answer_is_put_together() -> None:
    def chunked(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    async with server(chunked) as origin:
        pool = Pool(origin, 1)
        assert (await pool.ask(origin.request("GET", "/"), 1.0)).body == b"abcde"
        pool.close()


async def test_a_late_answer_is_never_taken_for_the_next_requests() -> None:
    def late_at_first(number: int, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(0.1 if number == 1 else 0, whole, number, writer)

    async with server(late_at_first) as origin:
        pool = Pool(origin, 1)
        with pytest.raises(CutOffError, match="no answer within"):
            await pool.ask(origin.request("GET", "/"), 0.02)
        assert (await pool.ask(origin.request("GET", "/"), 1.0)).body == b"on 2"
        pool.close()


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"what?\r\n\r\n"])
async def test_an_answer_that_ends_early_or_is_nonsense_is_no_answer(text: bytes) -> None:
    def cut(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    async with server(cut) as origin:
        pool = Pool(origin, 1)
        with pytest.raises(CutOffError):
            await pool.ask(origin.request("GET", "/"), 1.0)
        pool.close()


async def test_a_connection_the_server_closed_after_its_answer_is_replaced() -> None:
    def closing(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 1\r\n\r\n%d" % number)
        writer.close()

    async with server(closing) as origin:
        pool = Pool(origin, 1)
        bodies = [(await pool.ask(origin.request("POST", "/", b"{}"), 1.0)).body for _ in range(2)]
        pool.close()
    assert bodies == [b"1", b"2"]


async def test_a_refused_connection_is_unreachable_and_the_place_in_the_pool_stays() -> None:
    async with server(whole) as origin:
        pass
    pool = Pool(origin, 1)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await pool.ask(origin.request("GET", "/"), 1.0)


async def test_waiting_for_a_free_connection_is_bounded() -> None:
    async with server(lambda _number, _writer: None) as origin:
        pool = Pool(origin, 1)
        first = asyncio.create_task(pool.ask(origin.request("GET", "/"), 0.2))
        await asyncio.sleep(0)
        with pytest.raises(UnreachableError, match="no connection became free"):
            await pool.ask(origin.request("GET", "/"), 0.2, wait_seconds=0.01)
        with pytest.raises(CutOffError):
            await first
        pool.close()


@pytest.mark.parametrize("url", ["https://127.0.0.1", "127.0.0.1:9999", "http://", ""])
def test_only_http_addresses_are_taken(url: str) -> None:
    with pytest.raises(ValueError, match="not an http:// address"):
        Origin.of(url)


def test_a_request_names_host_path_and_length() -> None:
    request = Origin.of("http://localhost:9999/base/").request("POST", "/payments", b"{}", (("X-Rinha-Token", "123"),))
    assert request == (
        b"POST /base/payments HTTP/1.1\r\nHost: localhost:9999\r\nX-Rinha-Token: 123\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
