"""What the processors' metrics show of a provider: latency, circuit breaker, health. Pure."""

from collections.abc import Iterable, Mapping

from tollgate.console.samples import buckets_of, quantile
from tollgate.contract.events import ProviderName

CALL_LATENCY = "tollgate_provider_call_duration_seconds"
BREAKER = "tollgate_provider_breaker_state"
"""0 closed, 1 half-open, 2 open."""
HEALTH = "tollgate_provider_failing"
"""1 when the provider's own health endpoint reports that it fails."""
_BREAKER_STATES = ("closed", "half-open", "open")


def provider_metrics(name: ProviderName, samples: Iterable[Mapping[str, float]]) -> dict[str, object]:
    """Null where no processor answered."""
    programs = list(samples)
    buckets = buckets_of(programs, CALL_LATENCY, {"provider": name})
    states = _values(programs, BREAKER, name)
    failing = _values(programs, HEALTH, name)
    return {
        "p50Ms": _milliseconds(quantile(buckets, 0.5)),
        "p99Ms": _milliseconds(quantile(buckets, 0.99)),
        # Each processor has a breaker of its own: the worst is shown.
        "breaker": _BREAKER_STATES[int(max(states))] if states else None,
        "isFailing": max(failing) > 0 if failing else None,
    }


def _values(programs: list[Mapping[str, float]], metric: str, provider: ProviderName) -> list[float]:
    key = f'{metric}{{provider="{provider}"}}'
    return [one[key] for one in programs if key in one]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1_000
