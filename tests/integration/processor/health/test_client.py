"""One call to a health endpoint is one request, with any outcome."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import SO_LINGER, SOL_SOCKET

import pytest

from tests.support.ports import free_port
from tollgate.processor.charging.provider import Provider
from tollgate.processor.health.client import HealthClient
from tollgate.processor.health.report import Health, NoHealth

ANSWER = b'{"failing":true,"minResponseTime":250}'


class Endpoint:
    """Answers each connection with the given behaviour; `requests` are those that it received."""

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if self.behaviour == "silent":
                await reader.read()
            elif self.behaviour == "reset":
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            elif self.behaviour == "answer":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def endpoint(behaviour: str) -> AsyncIterator[tuple[Endpoint, HealthClient]]:
    serving, port = Endpoint(behaviour), free_port()
    async with await asyncio.start_server(serving.serve, "127.0.0.1", port):
        yield (
            serving,
            HealthClient({"default": Provider(f"http://127.0.0.1:{port}"), "fallback": Provider("http://127.0.0.1:1")}),
        )


async def test_an_answer() -> None:
    async with endpoint("answer") as (serving, client):
        answer = await client.ask("default", may_leave=lambda: True, timeout_seconds=5)
        assert answer == Health(failing=True, min_response_seconds=0.25)
        assert serving.requests[0].startswith(b"GET /payments/service-health HTTP/1.1\r\n")


@pytest.mark.parametrize("behaviour", ["reset", "close"])
async def test_a_call_that_is_cut_off_is_not_repeated(behaviour: str) -> None:
    async with endpoint(behaviour) as (serving, client):
        assert isinstance(await client.ask("default", may_leave=lambda: True, timeout_seconds=5), NoHealth)
        assert (serving.connections, len(serving.requests)) == (1, 1)


async def test_a_slow_answer_is_a_failed_check() -> None:
    async with endpoint("silent") as (serving, client):
        answer = await client.ask("default", may_leave=lambda: True, timeout_seconds=0.1)
        assert answer == NoHealth("no answer in time")
        assert len(serving.requests) == 1


async def test_nothing_is_sent_once_it_is_too_late() -> None:
    async with endpoint("answer") as (serving, client):
        answer = await client.ask("default", may_leave=lambda: False, timeout_seconds=5)
        assert isinstance(answer, NoHealth)
        assert "held up" in answer.why
        assert serving.requests == []


async def test_a_provider_that_is_down_is_a_failed_check() -> None:
    async with endpoint("answer") as (_, client):
        assert await client.ask("fallback", may_leave=lambda: True, timeout_seconds=5) == NoHealth("ECONNREFUSED")
