"""The values of a registry as they are sent, and gauges that are read when somebody asks."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tollgate.runtime.metrics import new_registry, samples_of, watch


def test_samples_have_the_names_of_prometheus_text_format() -> None:
    registry = CollectorRegistry()
    Counter("a", "A counter.", ["provider"], registry=registry).labels("default").inc(3)
    Histogram("b_seconds", "A histogram.", registry=registry, buckets=(0.1, 1.0)).observe(0.5)
    samples = samples_of(registry)
    assert samples['a_total{provider="default"}'] == 3
    assert samples['b_seconds_bucket{le="1.0"}'] == 1
    text = generate_latest(registry).decode()
    assert all(f"{name} {value}" in text for name, value in samples.items())


def test_a_watched_gauge_has_its_value_of_the_moment_and_none_is_left_out() -> None:
    registry = CollectorRegistry()
    values: list[float | None] = [1.5, None]
    watch(Gauge("a", "A gauge.", registry=registry), lambda: values.pop(0))
    assert samples_of(registry) == {"a": 1.5}
    assert samples_of(registry) == {}


def test_a_program_shows_its_version_and_its_process() -> None:
    samples = samples_of(new_registry("gateway"))
    assert any(name.startswith('tollgate_build_info{program="gateway"') for name in samples)
    assert samples["process_resident_memory_bytes"] > 0
    assert not any(math.isnan(value) for value in samples.values())
