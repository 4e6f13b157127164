"""What each stage costs at least: the same library or server, doing nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import nats
import psutil
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StorageType, StreamConfig

from qa.bench.server import BIN, free_port, nats_server, wait_for
from qa.bench.stages.counters import used_by
from qa.bench.stages.payer import Paid, pay_from_a_process
from qa.load.client import Origin
from qa.load.processes import own_cpu_seconds
from tollgate.contract.batch import join
from tollgate.contract.codec import encode
from tollgate.contract.events import PaymentRequested
from tollgate.contract.timestamps import format_us, now_us
from tollgate.stack.broker import GO_RUNTIME

Section = dict[str, float]
"""Figures of one part of a run. Names end with their unit; a program's are `<figure> <program>`."""

PAYER = [sys.executable, "-m", "qa.bench.stages.payer"]
CONNECTIONS = 200
_PROJECT = Path(__file__).resolve().parents[3]
_EDGE = [
    str(_PROJECT / "tools" / "timer-slack"),
    str(BIN / "caddy"),
    "run",
    "--config",
    str(_PROJECT / "caddy" / "Caddyfile"),
]
CALLS_AT_ONCE = 32
FETCH_MESSAGES = 256
_SUBJECT = "payments.requested"
_REQUEST_SECONDS_MAX = 10.0


async def empty_handler(kind: str, rate: float, seconds: float) -> Section:
    """CPU of a handler that does nothing, at a rate. `kind` is `uvicorn` or `blacksheep`."""
    async with _server([sys.executable, "-m", "qa.bench.stages.empty_handler", kind]) as (process, port):
        before = used_by([process])
        paid = await pay_from_a_process(PAYER, Origin("127.0.0.1", port), rate, seconds, CONNECTIONS)
        used = used_by([process]) - before
    _require_all(paid)
    return {
        "cpu_ms": 1e3 * used.cpu_seconds / paid.accepted,
        "wake_ups": used.wake_ups / paid.accepted,
        "p50_ms": paid.p50_ms,
        "p99_ms": paid.p99_ms,
        "generator_cpu_ms": 1e3 * paid.cpu_seconds / paid.accepted,
    }


async def edge(rate: float, seconds: float) -> Section:
    """CPU of the product's edge and of an empty handler behind it, at a rate: what remains when nothing is stored."""
    async with _server([sys.executable, "-m", "qa.bench.stages.empty_handler", "uvicorn"]) as (handler, behind):
        upstream = f"127.0.0.1:{behind}"
        with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
            port = free_port()
            environment = {
                "TOLLGATE_SITE": f":{port}",
                "TOLLGATE_UPSTREAM_1": upstream,
                "TOLLGATE_UPSTREAM_2": upstream,
                **GO_RUNTIME,
                "XDG_CONFIG_HOME": folder,
                "XDG_DATA_HOME": folder,
            }
            async with _running([*_EDGE, "--adapter", "caddyfile"], port, environment) as caddy:
                before = used_by([handler]), used_by([caddy])
                paid = await pay_from_a_process(PAYER, Origin("127.0.0.1", port), rate, seconds, CONNECTIONS)
                of_handler, of_edge = used_by([handler]) - before[0], used_by([caddy]) - before[1]
    _require_all(paid)
    return {
        "cpu_ms": 1e3 * (of_edge.cpu_seconds + of_handler.cpu_seconds) / paid.accepted,
        "edge_cpu_ms": 1e3 * of_edge.cpu_seconds / paid.accepted,
        "edge_wake_ups": of_edge.wake_ups / paid.accepted,
        "p50_ms": paid.p50_ms,
        "p99_ms": paid.p99_ms,
    }


async def bare_client(seconds: float) -> Section:
    """aiohttp's client against a simulated provider, CALLS_AT_ONCE calls at the same time."""
    async with _server([str(BIN / "simulator"), "--port"]) as (process, port):
        url = f"http://127.0.0.1:{port}/payments"
        connector = aiohttp.TCPConnector(limit=CALLS_AT_ONCE)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"Content-Type": "application/json"}
        ) as session:

            async def call() -> None:
                body = f'{{"correlationId":"{uuid.uuid4()}","amount":19.90,"requestedAt":"{format_us(now_us())}"}}'
                async with session.post(url, data=body.encode()) as response:
                    assert response.status == 200, response.status
                    await response.read()

            before, cpu_before = used_by([process]), own_cpu_seconds()
            calls, took_seconds = await _repeat(call, seconds)
            cpu, used = own_cpu_seconds() - cpu_before, used_by([process]) - before
    return {
        "per_second": calls / took_seconds,
        "cpu_ms": 1e3 * cpu / calls,
        "simulator_cpu_ms": 1e3 * used.cpu_seconds / calls,
    }


async def broker(events_per_message: int, seconds: float) -> Section:
    """The broker's rate with `sync_interval: always`, CALLS_AT_ONCE messages unacknowledged at the same time."""
    with nats_server("always") as (url, _):
        server = _child("nats-server")
        async with _stream(url) as client:

            async def store() -> None:
                answer = await client.request(_SUBJECT, _message(events_per_message), timeout=_REQUEST_SECONDS_MAX)
                assert b'"seq"' in answer.data, answer.data

            before = used_by([server])
            messages, took_seconds = await _repeat(store, seconds)
            used = used_by([server]) - before
    events = messages * events_per_message
    return {
        "messages_per_second": messages / took_seconds,
        "events_per_second": events / took_seconds,
        "broker_cpu_ms": 1e3 * used.cpu_seconds / events,
        "broker_wake_ups": used.wake_ups / events,
    }


async def bare_consumer(messages: int) -> Section:
    """A durable pull consumer that acknowledges each message and does nothing else."""
    with nats_server() as (url, _):
        server = _child("nats-server")
        async with _stream(url) as client:
            jetstream = client.jetstream()
            for number in range(1, messages + 1):
                send = client.publish if number % 500 and number < messages else client.request
                await send(_SUBJECT, _message(1))
            config = ConsumerConfig(max_ack_pending=2 * FETCH_MESSAGES)
            pulled = await jetstream.pull_subscribe(_SUBJECT, durable="bare", stream="PAYMENTS", config=config)
            before, cpu_before, began = used_by([server]), own_cpu_seconds(), time.monotonic()
            left = messages
            while left:
                for message in await pulled.fetch(min(FETCH_MESSAGES, left), timeout=_REQUEST_SECONDS_MAX):
                    await message.ack()
                    left -= 1
            await client.flush()
            took_seconds, cpu = time.monotonic() - began, own_cpu_seconds() - cpu_before
            used = used_by([server]) - before
    return {
        "per_second": messages / took_seconds,
        "cpu_ms": 1e3 * cpu / messages,
        "broker_cpu_ms": 1e3 * used.cpu_seconds / messages,
    }


def _message(events: int) -> bytes:
    return join(encode(PaymentRequested(str(uuid.uuid4()), 1990, now_us())) for _ in range(events))


async def _repeat(call: Callable[[], Awaitable[None]], seconds: float) -> tuple[int, float]:
    """Makes calls for that long, CALLS_AT_ONCE at the same time. Returns their number, and the seconds."""
    began = time.monotonic()
    calls = 0

    async def one_after_the_other() -> None:
        nonlocal calls
        while time.monotonic() - began < seconds:
            await call()
            calls += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(CALLS_AT_ONCE)))
    return calls, time.monotonic() - began


@asynccontextmanager
async def _server(command: list[str]) -> AsyncIterator[tuple[psutil.Process, int]]:
    """A server on a free port of loopback, which is the last argument of its command."""
    port = free_port()
    async with _running([*command, str(port)], port) as process:
        yield process, port


@asynccontextmanager
async def _running(
    command: list[str], port: int, environment: dict[str, str] | None = None
) -> AsyncIterator[psutil.Process]:
    """A program that listens on this port of loopback; `environment` is added to our own."""
    process = subprocess.Popen(  # noqa: ASYNC220 - starting a process takes milliseconds
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await asyncio.to_thread(wait_for, port)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def _stream(url: str) -> AsyncIterator[Client]:
    """A connection to a broker with one stream on disk."""
    client = await nats.connect(url)
    try:
        await client.jetstream().add_stream(
            StreamConfig(name="PAYMENTS", subjects=["payments.>"], storage=StorageType.FILE)
        )
        yield client
    finally:
        await client.close()


def _child(name: str) -> psutil.Process:
    return next(process for process in psutil.Process().children() if process.name() == name)


def _require_all(paid: Paid) -> None:
    if paid.accepted != paid.offered:
        raise RuntimeError(f"an empty handler accepted {paid.accepted} of {paid.offered}")
