"""A link between two programs that can be cut, stalled and slowed, and can answer in the server's place."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

CHUNK_BYTES_MAX = 65_536
SLOW_SECONDS = 0.15
"""The delay of each piece while a link is slow, in each direction."""
CONNECT_SECONDS_MAX = 5.0
HANDLER_SECONDS_MAX = 30.0
"""How long a server may continue with a request that was answered in its place."""


class Mode(Enum):
    """The mode of a link, for open and new connections."""

    PASS = "pass"  # noqa: S105 - no password
    CUT = "cut"
    """Open and new connections are reset."""
    REFUSE = "refuse"
    """Open connections are reset, and new ones refused."""
    BLACKHOLE = "blackhole"
    """Nothing is forwarded, without an error. It is delivered after the fault, as by TCP."""
    MUTE = "mute"
    """Data of the client is stalled; data of the server is forwarded."""
    DEAF = "deaf"
    """Data of the server is stalled; data of the client is forwarded."""
    SLOW = "slow"
    FORBID = "forbid"
    """HTTP only. An intermediary answers each POST with 403; the server does not get it."""
    GATEWAY_TIMEOUT = "504"
    """HTTP only. An intermediary answers each POST with 504 while the server handles it, and charges."""


_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_GATEWAY_TIMEOUT = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_UNHEARD = {Mode.BLACKHOLE, Mode.MUTE}
_UNANSWERED = {Mode.BLACKHOLE, Mode.DEAF}


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a server: a loopback port or a unix socket."""

    port: int = 0
    path: Path | None = None


class Link:
    """Clients connect to `port`, and reach `server` as far as the mode allows."""

    def __init__(self, name: str, port: int, server: Server) -> None:
        self.name = name
        self.port = port
        self.mode = Mode.PASS
        self.connections = 0
        """Count of accepted connections."""
        self._server = server
        self._listening: asyncio.Server | None = None
        self._heard = asyncio.Event()
        self._answered = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._set(Mode.PASS)

    async def open(self) -> None:
        """Starts listening. Raises OSError when the port is in use."""
        self._listening = await asyncio.start_server(self._on_connection, "127.0.0.1", self.port)

    async def set(self, mode: Mode) -> None:
        self._set(mode)
        if mode in {Mode.CUT, Mode.REFUSE}:
            for writer in tuple(self._writers):
                _reset(writer)
        if mode is Mode.REFUSE and self._listening is not None:
            self._listening.close()
            self._listening = None
        elif mode is not Mode.REFUSE and self._listening is None:
            await self.open()

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        # An aborted transport is closed by the loop's next rounds.
        for _ in range(2):
            await asyncio.sleep(0)

    def _set(self, mode: Mode) -> None:
        self.mode = mode
        for passage, stalled in ((self._heard, _UNHEARD), (self._answered, _UNANSWERED)):
            if mode in stalled:
                passage.clear()
            else:
                passage.set()

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.mode in {Mode.CUT, Mode.REFUSE}:
            _reset(writer)
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                server_reader, server_writer = await self._connect()
        except (OSError, TimeoutError):
            _reset(writer)
            self._writers.discard(writer)
            return
        self._writers.add(server_writer)
        try:
            await asyncio.gather(
                self._carry_requests(reader, writer, server_writer),
                self._carry_answers(server_reader, writer),
            )
        finally:
            for one in (writer, server_writer):
                self._writers.discard(one)
                one.transport.abort()

    def _connect(self) -> Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        if self._server.path is not None:
            return asyncio.open_unix_connection(str(self._server.path))
        return asyncio.open_connection("127.0.0.1", self._server.port)

    async def _carry_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server_writer: asyncio.StreamWriter
    ) -> None:
        """Forwards data of the client, also after the client has disconnected: it was sent."""
        # uvloop raises RuntimeError where the other end was reset in between.
        with contextlib.suppress(OSError, RuntimeError):
            while data := await _read(reader):
                await self._pass(self._heard)
                if self.mode is Mode.FORBID and data.startswith(b"POST "):
                    await _answer(writer, _FORBIDDEN)
                    break
                server_writer.write(data)
                await server_writer.drain()
                if self.mode is Mode.GATEWAY_TIMEOUT and data.startswith(b"POST "):
                    await self._finish_request(data, reader, server_writer)
                    await _answer(writer, _GATEWAY_TIMEOUT)
                    # Its answer is read and dropped, so that the server sees no error.
                    await asyncio.sleep(HANDLER_SECONDS_MAX)
                    break
            await self._pass(self._heard)
        server_writer.close()

    async def _finish_request(
        self, begun: bytes, reader: asyncio.StreamReader, server_writer: asyncio.StreamWriter
    ) -> None:
        while not _is_whole(begun) and (data := await _read(reader)):
            begun += data
            server_writer.write(data)
            await server_writer.drain()

    async def _carry_answers(self, server_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while data := await _read(server_reader):
                await self._pass(self._answered)
                if writer.is_closing():
                    continue
                writer.write(data)
                await writer.drain()
            await self._pass(self._answered)
        writer.close()

    async def _pass(self, passage: asyncio.Event) -> None:
        if self.mode is Mode.SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        await passage.wait()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next piece; empty at the end or on any error."""
    try:
        return await reader.read(CHUNK_BYTES_MAX)
    except OSError:
        return b""


async def _answer(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    with contextlib.suppress(OSError):
        await writer.drain()
    writer.close()


def _is_whole(request: bytes) -> bool:
    """Whether a request with a Content-Length has arrived completely."""
    head, separator, body = request.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return bool(separator) and len(body) >= int(value)
    return bool(separator)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with a reset, like a firewall."""
    found = writer.get_extra_info("socket")
    # uvloop raises ValueError where the connection was reset before.
    with contextlib.suppress(OSError, AttributeError, ValueError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
