"""One payment is one trace over all programs, by its id alone; and a collector that is away holds up nothing."""

import asyncio
import contextlib
import hashlib
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.collector import Collector
from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.programs import Program
from tests.support.services import Gateway, Processor, Projector, Simulator

PAYMENTS = 10
ROOT = "POST /payments"
BELOW = [
    "append payments.requested",
    "wait payments.requested",
    "decide",
    "append payments.routed.default",
    "charge default",
    "append payments.processed.default",
    "project payments.processed.default",
]


@dataclass(frozen=True)
class Programs:
    """Gateway, processor and projector with one provider that works."""

    gateway: Gateway
    http: aiohttp.ClientSession
    all: tuple[Program, ...]

    async def pay(self, correlation_id: str) -> None:
        payment = {"correlationId": correlation_id, "amount": 19.90}
        async with self.http.post(f"{self.gateway.url}/payments", json=payment) as answer:
            assert answer.status == 202

    async def settled(self, *correlation_ids: str) -> None:
        async def are_processed() -> bool:
            for one in correlation_ids:
                async with self.http.get(f"{self.gateway.url}/payments/{one}") as answer:
                    if answer.status != 200 or (await answer.json())["state"] != "processed":
                        return False
            return True

        await eventually(are_processed, what="all payments are processed", timeout_seconds=30)


@asynccontextmanager
async def running(nats_url: str, folder: Path, gateway_collector: str = "", **env: str) -> AsyncIterator[Programs]:
    with ExitStack() as stack:
        default = stack.enter_context(Simulator("default", folder))
        projector = stack.enter_context(Projector(nats_url, folder, **env))
        of_gateway = {**env, "OTEL_EXPORTER_OTLP_ENDPOINT": gateway_collector or env["OTEL_EXPORTER_OTLP_ENDPOINT"]}
        gateway = stack.enter_context(Gateway(nats_url, folder, **of_gateway))
        nobody = "http://127.0.0.1:9"
        processor = stack.enter_context(Processor(nats_url, folder, default=default.url, fallback=nobody, **env))
        async with aiohttp.ClientSession() as http:
            await default.ready(http)
            await gateway.ready(http)
            yield Programs(gateway, http, (gateway, processor, projector))


def some_id(*, is_sampled: bool) -> str:
    """An id that half of the traces include, or one that they do not: the rule of docs/how-to/traces.md once more."""
    while True:
        one = uuid.uuid4()
        if (hashlib.sha256(one.bytes).digest()[-7] >= 0x80) == is_sampled:
            return str(one)


async def test_a_payment_is_one_trace_over_all_programs_and_one_that_is_not_sampled_is_none(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    traced, other = some_id(is_sampled=True), some_id(is_sampled=False)
    async with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": "0.5"}
        async with running(nats_server.url, tmp_path, **env) as programs:
            await programs.pay(other)
            await programs.pay(traced)
            await programs.settled(other, traced)
            await programs.pay(traced)
            # What a program has not sent yet, it sends when it stops.
            for program in programs.all:
                assert await stop(program) == 0, program.output()
        assert {one.trace_id for one in collector.spans} == {traced.replace("-", "")}
        spans = collector.of(traced.replace("-", ""))

    root, *below = [one for one in spans if not one.attributes.get("tollgate.is_repeat")]
    assert root.span.name == ROOT
    assert (root.service, root.attributes["http.response.status_code"]) == ("tollgate-gateway", 202)
    assert (root.span.parent_span_id, root.span.span_id) == (b"", hashlib.sha256(uuid.UUID(traced).bytes).digest()[:8])
    assert sorted(one.span.name for one in below) == sorted(BELOW)
    assert {one.span.parent_span_id for one in [*below, spans[-1]]} == {root.span.span_id}
    assert all(one.span.trace_state.startswith("ot=th:8;rv:") for one in spans)
    (repeat,) = [one for one in spans if one.attributes.get("tollgate.is_repeat")]
    assert (repeat.span.name, repeat.span.parent_span_id) == (ROOT, root.span.span_id)

    by_name = {one.span.name: one for one in below}
    # Not the ends: a request may be taken from the queue before the gateway has its acknowledgement.
    starts = [by_name[name].span.start_time_unix_nano for name in BELOW]
    assert starts == sorted(starts)
    assert by_name["decide"].span.start_time_unix_nano == by_name["wait payments.requested"].span.end_time_unix_nano
    charge = by_name["charge default"]
    assert charge.service == "tollgate-processor"
    assert (
        charge.attributes.items()
        >= {
            "http.response.status_code": 200,
            "tollgate.provider": "default",
            "tollgate.attempt": 1,
            "tollgate.outcome": "Charged",
        }.items()
    )
    assert by_name[BELOW[-1]].service == "tollgate-projector"
    assert by_name[BELOW[-1]].attributes["messaging.destination.name"] == "payments.processed.default"


@contextlib.contextmanager
def silent_collector() -> Iterator[str]:
    """Takes connections, and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_collectors_that_do_not_answer_hold_up_no_payment_and_no_stop(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    with silent_collector() as silent:
        # The gateway's never answers, the others' is away.
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_SAMPLER": "always_on"}
        async with running(nats_server.url, tmp_path, gateway_collector=silent, **env) as programs:
            ids = [str(uuid.uuid4()) for _ in range(PAYMENTS)]
            for one in ids:
                await programs.pay(one)
            await programs.settled(*ids)
            gateway, *others = programs.all
            # Sooner than the SDK would give up by itself.
            assert await stop(gateway) == 0
            assert f"{2 * PAYMENTS} of {2 * PAYMENTS} spans were not sent" in gateway.output()
            for program in others:
                assert await stop(program) == 0
                assert "spans were not sent, 0 of them because too many waited" in program.output()
                assert "the exporter's last error: Connection refused" in program.output()
                assert "Traceback" not in program.output()


async def stop(program: Program) -> int:
    """Its exit status. The collector in this loop is served meanwhile."""
    return await asyncio.to_thread(program.stop)
