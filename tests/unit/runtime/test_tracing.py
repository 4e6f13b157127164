"""Traces are off unless an endpoint is set; their queue is bounded, and what is dropped is counted in a few lines."""

import asyncio
import logging
import subprocess
import sys

import pytest

from tests.support.collector import Collector
from tests.support.conditions import eventually
from tollgate.gateway.settings import Settings
from tollgate.runtime import otlp
from tollgate.runtime.otlp import OtlpTraces
from tollgate.runtime.settings import load
from tollgate.runtime.tasks import end
from tollgate.runtime.tracing import Kind, Span

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
AWAY = "http://user:s3cret@127.0.0.1:9/v1/traces"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def traces(endpoint: str) -> OtlpTraces:
    return OtlpTraces(endpoint, ratio=1.0, resource={"service.name": "test"}, now_us=lambda: 0)


def span(name: str = "step", *, began_us: int = 1, ended_us: int = 2, error: str = "") -> Span:
    return Span(ID, name, Kind.INTERNAL, began_us, ended_us, {"number": 7}, error)


@pytest.mark.parametrize(
    ("environment", "endpoint", "ratio"),
    [
        ({}, None, 0.01),
        ({ENDPOINT: "http://c:4318/"}, "http://c:4318/v1/traces", 0.01),
        ({ENDPOINT: "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://d/x"}, "https://d/x", 0.01),
        ({ENDPOINT: "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None, 0.01),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.25"}, None, 0.25),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, None, 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, None, 0.0),
    ],
)
def test_the_usual_variables_say_where_spans_go_and_which(
    environment: dict[str, str], endpoint: str | None, ratio: float
) -> None:
    settings = load(Settings, environment)
    assert (settings.traces_endpoint, settings.traces_ratio) == (endpoint, ratio)


@pytest.mark.parametrize(
    ("environment", "is_on"),
    [
        ({}, False),
        ({ENDPOINT: AWAY, "OTEL_TRACES_SAMPLER": "always_off"}, False),
        ({ENDPOINT: AWAY, "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: AWAY}, True),
    ],
)
def test_nothing_of_opentelemetry_is_imported_while_traces_are_off(environment: dict[str, str], is_on: bool) -> None:
    program = f"""
import sys
from tollgate.gateway.settings import Settings
from tollgate.runtime.settings import load
from tollgate.runtime.tracing import traces_of
traces = traces_of(load(Settings, {environment!r}), program="gateway", instance="1", now_us=lambda: 0)
assert (traces is not None) == {is_on}
assert ("opentelemetry" in sys.modules) == {is_on}
"""
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_at_the_bound_of_the_queue_spans_are_dropped_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "QUEUE_SPANS_MAX", 20)
    monkeypatch.setattr(otlp, "BATCH_SPANS_MAX", 10)
    monkeypatch.setattr(otlp, "FLUSH_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    recorder = traces(AWAY)
    for _ in range(1_000):
        recorder.record(span())
    running = asyncio.ensure_future(recorder.run())
    await asyncio.sleep(0)
    await end(running)
    dropping = [line for line in caplog.messages if line.startswith("a span was dropped")]
    assert set(dropping) == {"a span was dropped: 20 wait to be sent"}
    # The exporter's thread may still report a batch after it.
    [last] = [line for line in caplog.messages if "spans were not sent" in line]
    assert last.startswith("1000 of 1000 spans were not sent, 9")
    assert "of them because too many waited; the exporter's last error: " in last
    assert "s3cret" not in caplog.text


async def test_spans_keep_their_times_and_errors_and_never_end_before_they_began() -> None:
    async with Collector() as collector:
        recorder = traces(f"{collector.url}/v1/traces")
        running = asyncio.ensure_future(recorder.run())
        recorder.record(span("good", began_us=5, ended_us=7))
        recorder.record(span("bad", error="no answer in time"))
        recorder.record(span("clock was set", began_us=9, ended_us=3))
        await asyncio.sleep(0)
        await end(running)

        async def are_there() -> bool:
            return len(collector.spans) == 3

        await eventually(are_there, what="the spans are sent at the stop")
    by_name = {one.span.name: one.span for one in collector.spans}
    assert (by_name["good"].start_time_unix_nano, by_name["good"].end_time_unix_nano) == (5_000, 7_000)
    assert by_name["clock was set"].end_time_unix_nano == 9_000
    assert (by_name["bad"].status.code, by_name["bad"].status.message) == (2, "no answer in time")
    assert by_name["good"].status.code == 0
    assert collector.spans[0].attributes == {"number": 7}
