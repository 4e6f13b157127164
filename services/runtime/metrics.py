"""The metrics of one program: their registry, their endpoint for Prometheus, and their values for the console.

A program counts what happens where it happens. A state (the length of a queue, a breaker) is read when somebody asks.
"""

import asyncio
import math
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge, Info, ProcessCollector, make_asgi_app

from tollgate.contract.clock_offset import ClockOffset
from tollgate.contract.statistics import ProgramStatistics, encode_statistics
from tollgate.runtime.http_server import serve, server_config
from tollgate.runtime.settings import ServiceSettings

CONNECTIONS_MAX = 8
"""Of the endpoint; one more is answered 503."""
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a payment on an idle machine to the longest timeout of a client."""


def new_registry(program: str) -> CollectorRegistry:
    """A registry with the version of the program and the basics of its process (CPU, memory, open files, start)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Info("tollgate_build", "The version that runs.", registry=registry)
    build.info({"version": version("tollgate"), "program": program})
    return registry


def samples_of(registry: CollectorRegistry) -> dict[str, float]:
    """The values by sample name with labels, as Prometheus' text format writes them."""
    return {
        _shown(sample.name, sample.labels): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created") and not math.isnan(sample.value)
    }


def statistics_of(registry: CollectorRegistry, program: str, name: str) -> Callable[[], bytes]:
    """A function that returns the answer to a request for this program's statistics."""
    return lambda: encode_statistics(ProgramStatistics(program, name, samples_of(registry)))


def watch(gauge: Gauge, read: Callable[[], float | None]) -> None:
    """Reads the gauge's value whenever somebody asks; without a value it is not a number."""

    def value() -> float:
        found = read()
        return math.nan if found is None else found

    gauge.set_function(value)


def clock_gauge(registry: CollectorRegistry) -> Gauge:
    """The offset of this program's clock; `watch_clock` gives it its value."""
    return Gauge("tollgate_clock_offset_seconds", "This program's wall clock minus the broker's.", registry=registry)


def watch_clock(gauge: Gauge, offset: Callable[[], ClockOffset | None]) -> None:
    """Shows the clock's offset, once it was measured."""
    watch(gauge, lambda: None if (found := offset()) is None else found.middle_seconds)


async def serve_metrics(registry: CollectorRegistry, settings: ServiceSettings, *, program: str) -> None:
    """Serves `/metrics` until cancelled; with METRICS_PORT=0, only waits. Raises FatalError when it cannot listen."""
    if not settings.metrics_port:
        await asyncio.Event().wait()
    config = server_config(
        make_asgi_app(registry),
        host=settings.metrics_host,
        port=settings.metrics_port,
        lifespan="off",
        limit_concurrency=CONNECTIONS_MAX,
        drain_seconds=1,
    )
    await serve(config, program=f"{program}'s metrics")


def _shown(name: str, labels: dict[str, str]) -> str:
    if not labels:
        return name
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"
