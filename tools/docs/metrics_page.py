"""The page reference/metrics.md, from the metrics as the services declare them."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Metric

from tollgate.gateway.metrics import GatewayMetrics
from tollgate.processor.metrics import ProcessorMetrics
from tollgate.projector.metrics import ProjectorMetrics

_LEAD = """# Metrics

Generated from the code by `make docs-generate`. Each program serves `/metrics` in Prometheus' text format on
METRICS_HOST and METRICS_PORT ([Settings](settings.md)): under `make run` gateway-1 on 9101, gateway-2 on 9102, the
processor on 9103, the projector on 9104, all on loopback. All of them also serve `tollgate_build_info` and the basics
of their process (`process_…`). Counters count since the start of the program. Money is in cents.
"""
_PROGRAMS: dict[str, Callable[[CollectorRegistry], object]] = {
    "gateway": GatewayMetrics,
    "processor": ProcessorMetrics,
    "projector": ProjectorMetrics,
}


def page() -> str:
    """A table for each program."""
    return "\n".join([_LEAD, *(_table(program, declare) for program, declare in _PROGRAMS.items())])


def _table(program: str, declare: Callable[[CollectorRegistry], object]) -> str:
    registry = CollectorRegistry()
    declare(registry)
    rows = sorted(_row(one) for one in registry.collect())
    return "\n".join([f"## {program}", "", "| metric | kind | labels | is |", "|---|---|---|---|", *rows, ""])


def _row(metric: Metric) -> str:
    suffix = "_total" if metric.type == "counter" else ""
    names = dict.fromkeys(name for sample in metric.samples for name in sample.labels if name != "le")
    labels = ", ".join(f"`{name}`" for name in names)
    return f"| `{metric.name}{suffix}` | {metric.type} | {labels} | {metric.documentation} |"
