"""HTTP/1.1 over a plain socket, for requests that no client library would send."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

JSON = {"Content-Type": "application/json"}


def payment(correlation_id: str, amount: str = "1.00") -> bytes:
    """The body of a payment."""
    return f'{{"correlationId":"{correlation_id}","amount":{amount}}}'.encode()


def head(line: str, headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()) -> bytes:
    """A request's header, with Host."""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    lines = [f"{line} HTTP/1.1", "Host: pay.test", *(f"{name}: {value}" for name, value in pairs)]
    return "".join(f"{one}\r\n" for one in (*lines, "")).encode("latin-1")


def post(body: bytes, headers: Mapping[str, str] | None = None, *, path: str = "/payments") -> tuple[bytes, bytes]:
    """Header and body of a POST of JSON with its length."""
    return head(f"POST {path}", {**JSON, "Content-Length": str(len(body)), **(headers or {})}), body


def chunk(data: bytes) -> bytes:
    """One chunk; without data, the last one."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer; the status is 0 if the connection ended without one."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class RawConnection:
    """A connection that sends bytes unchanged."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send(self, *parts: bytes, apart_seconds: float = 0) -> None:
        """Sends each part as one write. A peer that has closed meanwhile is no error."""
        for part in parts:
            try:
                self._writer.write(part)
                await self._writer.drain()
            except ConnectionError:
                return
            if apart_seconds:
                await asyncio.sleep(apart_seconds)

    def end_sending(self) -> None:
        """Closes the sending side only."""
        self._writer.write_eof()

    async def answer(self, *, is_head: bool = False, timeout_seconds: float = 15) -> Answer:
        """The next final answer."""
        async with asyncio.timeout(timeout_seconds):
            try:
                return await self._answer(is_head)
            except (asyncio.IncompleteReadError, ConnectionError):
                return Answer(0)

    async def is_closed_within(self, seconds: float) -> bool:
        """Reads until the peer closes."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65_536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    async def _answer(self, is_head: bool) -> Answer:
        while True:
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(lines[0].split()[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
            if status >= 200:
                break
        length = 0 if is_head else int(headers.get("content-length", "0"))
        return Answer(status, headers, await self._reader.readexactly(length))
