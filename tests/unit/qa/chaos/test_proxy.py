"""The effect of each mode of a link on real sockets on both sides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from qa.chaos.proxy import Link, Mode, Server
from tests.support.conditions import eventually
from tests.support.ports import free_port

SOON_SECONDS = 0.1
"""Long enough on loopback for what gets through to have got through."""

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Echo:
    """A server that answers each piece with `echo ` and the piece, and remembers what it heard."""

    def __init__(self) -> None:
        self.heard = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(b"echo " + data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, Echo, Connect]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    link = Link("test", free_port(), Server(server.sockets[0].getsockname()[1]))
    await link.open()
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writers.append(writer)
        return reader, writer

    try:
        async with asyncio.timeout(10):
            yield link, echo, connect
    finally:
        for writer in writers:
            writer.close()
        await link.close()
        server.close()


async def said(reader: asyncio.StreamReader) -> bytes:
    """What arrives within SOON_SECONDS; nothing when nothing does."""
    try:
        async with asyncio.timeout(SOON_SECONDS):
            return await reader.read(65_536)
    except TimeoutError:
        return b""


async def test_a_link_passes_everything() -> None:
    async with linked() as (link, _, connect):
        reader, writer = await connect()
        writer.write(b"one")
        assert await reader.readexactly(8) == b"echo one"
        assert link.connections == 1


@pytest.mark.parametrize("mode", [Mode.BLACKHOLE, Mode.MUTE])
async def test_data_sent_during_a_blackhole_arrives_later_even_if_the_client_disconnected(mode: Mode) -> None:
    async with linked() as (link, echo, connect):
        _, writer = await connect()
        writer.write(b"one")
        await eventually(lambda: _is(echo.heard == b"one"), what="the first word is heard")
        await link.set(mode)
        writer.write(b"two")
        await asyncio.sleep(SOON_SECONDS)
        assert echo.heard == b"one"
        writer.close()
        await link.set(Mode.PASS)
        await eventually(lambda: _is(echo.heard == b"onetwo"), what="the second word is heard")


@pytest.mark.parametrize("mode", [Mode.BLACKHOLE, Mode.DEAF])
async def test_answers_wait_until_it_is_over(mode: Mode) -> None:
    async with linked() as (link, echo, connect):
        reader, writer = await connect()
        await link.set(mode)
        writer.write(b"one")
        assert await said(reader) == b""
        assert echo.heard == (b"one" if mode is Mode.DEAF else b"")
        await link.set(Mode.PASS)
        assert await reader.readexactly(8) == b"echo one"


async def test_a_muted_client_still_receives() -> None:
    async with linked() as (link, echo, connect):
        reader, writer = await connect()
        await link.set(Mode.DEAF)
        writer.write(b"one")
        await eventually(lambda: _is(echo.heard == b"one"), what="the server has heard, and answered")
        await link.set(Mode.MUTE)
        assert await reader.readexactly(8) == b"echo one"


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.REFUSE])
async def test_a_cut_resets_what_is_open_and_what_is_new(mode: Mode) -> None:
    async with linked() as (link, _, connect):
        reader, writer = await connect()
        writer.write(b"one")
        await reader.readexactly(8)
        await link.set(mode)
        with pytest.raises(ConnectionError):
            assert await reader.read(1) or None, "an orderly end is no cut"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            new_reader, _ = await connect()
            await new_reader.readexactly(1)
        await link.set(Mode.PASS)
        reader, writer = await connect()
        writer.write(b"two")
        assert await reader.readexactly(8) == b"echo two"


async def test_a_server_that_is_away_is_a_reset() -> None:
    link = Link("test", free_port(), Server(free_port()))
    await link.open()
    reader, _ = await asyncio.open_connection("127.0.0.1", link.port)
    with pytest.raises(ConnectionError):
        assert await reader.read(1) or None
    await link.close()


POST = b"POST /payments HTTP/1.1\r\nContent-Length: 4\r\n\r\n"


async def test_a_forbidden_request_is_answered_in_place_and_never_seen() -> None:
    async with linked() as (link, echo, connect):
        await link.set(Mode.FORBID)
        reader, writer = await connect()
        writer.write(POST + b"body")
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
        await link.set(Mode.PASS)
        await asyncio.sleep(SOON_SECONDS)
        assert echo.heard == b""


async def test_a_gateway_timeout_comes_while_the_server_has_the_whole_request() -> None:
    async with linked() as (link, echo, connect):
        await link.set(Mode.GATEWAY_TIMEOUT)
        reader, writer = await connect()
        writer.write(POST)
        await asyncio.sleep(SOON_SECONDS)
        writer.write(b"body")
        # The echo may come before it, since this server does not wait for the body.
        answer = b""
        while b"504" not in answer:
            data = await reader.read(65_536)
            assert data, f"ended with {answer!r}"
            answer += data
        assert echo.heard == POST + b"body"


async def _is(truth: bool) -> bool:
    return truth


def test_a_link_is_cut_again_before_its_connections_are_gone() -> None:
    async def cut_twice() -> None:
        async with linked() as (link, _, connect):
            reader, writer = await connect()
            writer.write(b"hello")
            assert await said(reader) == b"echo hello"
            await link.set(Mode.CUT)
            await asyncio.sleep(0)
            await link.set(Mode.REFUSE)
            assert link.mode is Mode.REFUSE

    # The runs use uvloop, whose sockets differ from asyncio's.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(cut_twice())
