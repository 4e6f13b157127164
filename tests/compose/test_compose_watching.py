"""docker-compose.traces.yml with a collector, and Prometheus of `--profile monitoring`, on the compose stack."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest

from qa.load.compose import (
    BASE,
    PROJECT,
    PULL_SECONDS_MAX,
    SERVICES,
    SIMULATORS,
    TRACES,
    Compose,
    ComposeError,
    Ports,
    docker,
    why_not,
)
from tests.compose.conftest import PROJECT_NAME, ready
from tests.support.conditions import eventually
from tests.support.ports import free_port

PROJECT_WATCHED = f"{PROJECT_NAME}-watched"
PAYMENTS = 20
SPANS_OF_A_PAYMENT = 8
SECONDS_MAX = 60
MEASURED = {"gateway-1", "gateway-2", "processor", "projector"}
COLLECTOR = f"{PROJECT_WATCHED}-collector"
COLLECT = """
from collections import Counter
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

spans = Counter()

async def take(request):
    taken = ExportTraceServiceRequest.FromString(await request.read())
    spans.update(one.name for resource in taken.resource_spans for scope in resource.scope_spans for one in scope.spans)
    return web.Response(content_type="application/x-protobuf")

async def show(_):
    return web.json_response(spans)

app = web.Application()
app.router.add_post("/v1/traces", take)
app.router.add_get("/", show)
web.run_app(app, port=4318)
"""
SHOW = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:4318/').read().decode())"


@pytest.fixture
async def watched() -> AsyncIterator[Compose]:
    """With traces of every payment, on free ports; the images are those of the other tests."""
    if (reason := why_not()) is not None:
        pytest.skip(f"the compose stack cannot run here: {reason}")
    environment = {
        "TOLLGATE_VERSION": PROJECT_NAME,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_TRACES_SAMPLER_ARG": "1",
        "PROMETHEUS_PORT": str(free_port()),
    }
    ports = Ports(free_port(), free_port(), free_port())
    compose = Compose(PROJECT_WATCHED, ports, files=(BASE, SIMULATORS, TRACES), environment=environment)
    compose.down()
    await asyncio.to_thread(compose.build)
    try:
        await asyncio.to_thread(compose.up)
        await ready(compose)
        yield compose
    finally:
        await asyncio.to_thread(compose.run, "--profile", "monitoring", "down", "--volumes", "--timeout", "5")


async def pay(compose: Compose) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(PAYMENTS):
            payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
            async with session.post(f"{compose.product.url}/payments", json=payment) as answer:
                assert answer.status == 202


async def test_spans_of_every_program_reach_a_collector_within_the_limits(watched: Compose) -> None:
    network = ("--network", f"{PROJECT_WATCHED}_tollgate", "--network-alias", "collector")
    image = f"tollgate:{PROJECT_NAME}"
    docker(
        *("run", "--detach", "--rm", "--name", COLLECTOR), *network, *("--entrypoint", "python", image, "-c", COLLECT)
    )
    try:
        await pay(watched)

        async def are_there() -> bool:
            try:
                spans = json.loads(await asyncio.to_thread(docker, "exec", COLLECTOR, "python", "-c", SHOW))
            except ComposeError:
                return False
            return len(spans) == SPANS_OF_A_PAYMENT and set(spans.values()) == {PAYMENTS}

        await eventually(are_there, what="the spans of every payment", timeout_seconds=SECONDS_MAX)
    finally:
        docker("rm", "--force", COLLECTOR)
    assert {name: one.restarts for name, one in watched.containers().items() if name in SERVICES} == dict.fromkeys(
        sorted(SERVICES), 0
    )


async def test_prometheus_finds_every_program_and_accepts_the_rules(watched: Compose) -> None:
    image = re.findall(r"image: (prom/prometheus:\S+)", (PROJECT / BASE).read_text())[0]
    try:
        docker("image", "inspect", image)
    except ComposeError:
        try:
            docker("pull", "--quiet", image, timeout_seconds=PULL_SECONDS_MAX)
        except ComposeError as error:
            pytest.skip(f"no image of Prometheus: {error}")
    monitoring = ("--profile", "monitoring", "up", "--detach", "--no-build", "prometheus")
    await asyncio.to_thread(watched.run, *monitoring)
    port = json.loads(docker("inspect", watched.containers()["prometheus"].id))[0]["HostConfig"]["PortBindings"]
    url = f"http://127.0.0.1:{port['9090/tcp'][0]['HostPort']}/api/v1"
    async with aiohttp.ClientSession() as session:

        async def are_up() -> bool:
            try:
                async with session.get(f"{url}/targets") as answer:
                    targets = (await answer.json())["data"]["activeTargets"]
            except aiohttp.ClientError:
                return False
            return {one["labels"]["program"] for one in targets if one["health"] == "up"} == MEASURED

        await eventually(are_up, what="Prometheus has asked every program", timeout_seconds=SECONDS_MAX)
        async with session.get(f"{url}/rules") as answer:
            (group,) = (await answer.json())["data"]["groups"]
        assert len(group["rules"]) > 1
        assert not [one["name"] for one in group["rules"] if one["state"] == "firing"]
