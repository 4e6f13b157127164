"""A small HTTP/1.1 client for the providers: one request at a time on a connection, and connections that are kept.

It tells what charging depends on, whether a request was sent at all and when its answer arrived, and takes half the CPU
of aiohttp for each call (docs/decisions/0054). The parser is httptools (llhttp). Redirects are not followed, and no
compressed answer is asked for.
"""

import asyncio
import errno
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

import aiohappyeyeballs
import httptools

from tollgate.processor.charging.arrival import seconds_since_arrival
from tollgate.processor.charging.provider_contract import Reply
from tollgate.runtime.errors import TollgateError
from tollgate.runtime.tasks import set_errors

ANSWER_BYTES_MAX = 65_536
"""A longer body is not read to its end; its answer counts as not received."""
RECEIVED_BYTES_MAX = 2 * ANSWER_BYTES_MAX
"""The same for an answer with its header and the framing of its chunks."""
KEEPALIVE_SECONDS = 4.0
"""Idle connections are dropped before common servers drop theirs (5 s): a reused dead one would cost a doubt."""
CONNECT_TIMEOUT_SECONDS = 2.0
ADDRESSES_SECONDS = 10.0
"""How long the addresses of a host name are used before it is resolved again; at once after a connection failed."""
SECOND_ADDRESS_SECONDS = 0.25
"""How long a host's first address is tried before the next one is tried beside it (RFC 8305)."""
_PORTS = {"http": 80, "https": 443}
_SWITCHING_PROTOCOLS, _OK = 101, 200


class NotSentError(TollgateError):
    """No byte of the request was sent; the text gives the reason."""


class CutOffError(TollgateError):
    """The request was sent, and no whole answer to it was received; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Received:
    """An answer, and when its last bytes arrived, by the monotonic clock."""

    reply: Reply
    arrived_at: float


@dataclass(frozen=True, slots=True)
class Origin:
    """Where requests go: the base address of a service, and the headers that each request has."""

    host: str
    port: int
    is_secure: bool
    path: bytes
    head: bytes

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str]) -> Self:
        """From an address such as `https://host:8443/base`; `headers` in visible ASCII."""
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        lines = {
            "Host": host if port == _PORTS[parts.scheme] else f"{host}:{port}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "tollgate",
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return cls(
            parts.hostname or "", port, parts.scheme == "https", parts.path.encode("ascii"), head.encode("ascii")
        )

    def post(self, path: str, body: bytes) -> bytes:
        """The bytes of a POST of JSON."""
        return b"POST %s%s HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            *(self.path, path.encode(), self.head),
            *(len(body), body),
        )

    def get(self, path: str) -> bytes:
        """The bytes of a GET."""
        return b"GET %s%s HTTP/1.1\r\n%s\r\n" % (self.path, path.encode(), self.head)


class HttpClient:
    """Connections to any number of origins. For use inside an event loop."""

    def __init__(self, *, connections_max: int) -> None:
        self._free = asyncio.Semaphore(connections_max)
        self._pools: dict[Origin, _Pool] = {}

    async def ask(
        self,
        origin: Origin,
        request: bytes,
        *,
        timeout_seconds: float,
        is_repeatable: bool = False,
        may_leave: Callable[[], bool] | None = None,
    ) -> Received:
        """Sends the request once, and waits for the whole answer.

        One that `is_repeatable` is sent a second time, on a new connection, if a connection that was used before is cut
        off. With `may_leave` it is sent on a connection of its own, and only if that is true once it is open. Waits
        while `connections_max` requests are under way. Raises NotSentError, CutOffError, and TimeoutError when there
        is no whole answer to the request in time.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        await self._wait_until_free(deadline)
        try:
            pool = self._pool(origin)
            kept = None if may_leave is not None else pool.take()
            if kept is not None:
                try:
                    return await pool.exchange(kept, request, deadline)
                except CutOffError:
                    if not is_repeatable:
                        raise
            connection = await pool.connect(deadline)
            if may_leave is not None and not may_leave():
                connection.close()
                raise NotSentError("not asked: this process was held up, and another replica may hold the lease by now")
            return await pool.exchange(connection, request, deadline, is_kept=may_leave is None)
        finally:
            self._free.release()

    def close(self) -> None:
        """Closes the idle connections. No request may be under way."""
        for pool in self._pools.values():
            pool.close()

    def _pool(self, origin: Origin) -> "_Pool":
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = _Pool(origin)
        return pool

    async def _wait_until_free(self, deadline: float) -> None:
        if not self._free.locked():
            # Without a timer: this is every call but those beyond the bound.
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError:
            raise NotSentError("no connection was free in time") from None


class _Pool:
    """The idle connections to one origin."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._tls = ssl.create_default_context() if origin.is_secure else None
        self._idle: deque[tuple[float, _Connection]] = deque()
        """With the time since which each is idle; the newest is taken first."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._addresses = _Addresses(origin.host, origin.port)

    def take(self) -> "_Connection | None":
        """An idle connection that is open."""
        while self._idle:
            idle_since, connection = self._idle.pop()
            if connection.is_open and time.monotonic() - idle_since < KEEPALIVE_SECONDS:
                return connection
            connection.close()
        return None

    async def connect(self, deadline: float) -> "_Connection":
        """A new connection. Raises NotSentError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + CONNECT_TIMEOUT_SECONDS)):
                found = await self._addresses.found()
                opened = await aiohappyeyeballs.start_connection(
                    found, happy_eyeballs_delay=SECOND_ADDRESS_SECONDS, interleave=1, loop=loop
                )
                host = self._origin.host if self._tls is not None else None
                _, connection = await loop.create_connection(
                    lambda: _Connection(opened), sock=opened, ssl=self._tls, server_hostname=host
                )
        except TimeoutError:
            self._addresses.forget()
            raise NotSentError("no connection in time") from None
        except OSError as error:
            # Errors of TLS are OSErrors.
            self._addresses.forget()
            raise NotSentError(_error_name(error)) from None
        return connection

    async def exchange(
        self, connection: "_Connection", request: bytes, deadline: float, *, is_kept: bool = True
    ) -> Received:
        """Sends the request and returns its answer. Raises CutOffError and TimeoutError."""
        try:
            return await connection.exchange(request, deadline)
        finally:
            if is_kept and connection.is_reusable:
                self._idle.append((time.monotonic(), connection))
                self._sweep_later()
            else:
                connection.close()

    def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        while self._idle:
            self._idle.pop()[1].close()

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(KEEPALIVE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        while self._idle and time.monotonic() - self._idle[0][0] >= KEEPALIVE_SECONDS:
            self._idle.popleft()[1].close()
        if self._idle:
            self._sweep_later()


class _Addresses:
    """The addresses of a host name. Connections that are opened together share one question."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._asking: asyncio.Future[Any] | None = None
        self._asked_at = 0.0

    async def found(self) -> Sequence[aiohappyeyeballs.AddrInfoType]:
        """At least one address. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._asking is None or loop.time() - self._asked_at > ADDRESSES_SECONDS:
            self._asked_at = loop.time()
            self._asking = asyncio.ensure_future(
                loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            )
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        # Shared: one caller that is cancelled must not cancel the others.
        found: Sequence[aiohappyeyeballs.AddrInfoType] = await asyncio.shield(self._asking)
        return found

    def forget(self) -> None:
        """Asks again next time."""
        if self._asking is not None and self._asking.done():
            self._asking = None


class _Connection(asyncio.Protocol):
    """One connection. Its methods named `on_` are called by the parser."""

    _transport: asyncio.Transport
    """Set by `connection_made`, before anything is sent."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Received] | None = None
        self._is_whole = False
        self._is_head_whole = False
        self._is_spent = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._received_bytes = 0

    @property
    def is_open(self) -> bool:
        return not self._is_spent and not self._transport.is_closing()

    @property
    def is_reusable(self) -> bool:
        """Whether the last request was answered in full, and another may follow."""
        return self.is_open and self._is_whole

    def close(self) -> None:
        self._is_spent = True
        self._transport.abort()

    async def exchange(self, request: bytes, deadline: float) -> Received:
        """Sends the request and returns the whole answer. Raises CutOffError and TimeoutError."""
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._is_whole = False
        self._received_bytes = 0
        self._begin_message()
        expiring = loop.call_at(deadline, self._end, TimeoutError())
        try:
            self._transport.write(request)
            return await self._answer
        finally:
            expiring.cancel()
            self._answer = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._is_whole:
            # Nobody has asked for it, so the next answer could not be told from it.
            self.close()
            return
        self._received_bytes += len(data)
        if self._received_bytes > RECEIVED_BYTES_MAX:
            self._fail(f"an answer of more than {RECEIVED_BYTES_MAX} bytes")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # After a whole answer it is about what follows it.
            self._fail("the answer is no HTTP/1.1")

    def eof_received(self) -> None:
        if self._is_head_whole and self._ends_with_connection():
            self._complete()
            self._is_spent = True

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("the connection ended" if error is None else _error_name(error))

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise ValueError("a second answer")
        self._begin_message()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._is_head_whole = True

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > ANSWER_BYTES_MAX:
            self._fail(f"an answer of more than {ANSWER_BYTES_MAX} bytes")

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if _is_interim(status):
            self._begin_message()
            return
        self._is_spent = self._is_spent or not self._parser.should_keep_alive()
        self._complete()

    def _begin_message(self) -> None:
        self._is_head_whole = False
        self._headers = []
        self._body = b""

    def _complete(self) -> None:
        self._is_whole = True
        if self._answer is not None and not self._answer.done():
            arrived_at = time.monotonic() - seconds_since_arrival(self._socket)
            headers = {_text(name).title(): _text(value) for name, value in self._headers}
            self._answer.set_result(Received(Reply(self._parser.get_status_code(), self._body, headers), arrived_at))

    def _ends_with_connection(self) -> bool:
        """Whether the answer has no length, so that only the connection's end ends it."""
        return not self._is_whole and not any(
            name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers
        )

    def _fail(self, why: str) -> None:
        self._end(CutOffError(why))

    def _end(self, error: Exception) -> None:
        if self._answer is not None:
            set_errors((self._answer,), error)
        self.close()


def _is_interim(status: int) -> bool:
    """Whether another answer follows (RFC 9110, 15.2). After 101 none does: the protocol is another."""
    return status < _OK and status != _SWITCHING_PROTOCOLS


def _text(of_header: bytes) -> str:
    return of_header.decode("utf-8", "surrogateescape")


def _error_name(error: Exception) -> str:
    """In a few words, for the program log."""
    match error:
        case socket.gaierror():
            return "the host name has no address"
        case ssl.SSLCertVerificationError():
            return f"TLS: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {error.reason}"
        case OSError():
            return errno.errorcode.get(error.errno or 0, type(error).__name__)
        case _:
            return type(error).__name__
