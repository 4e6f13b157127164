"""What the processors' metrics show of a provider: circuit breaker, health, the answer time of its calls. Pure."""

from collections.abc import Iterable, Mapping

from tollgate.console.samples import Buckets, buckets_of, quantile
from tollgate.contract.events import PROVIDERS, ProviderName

CALL_LATENCY = "tollgate_provider_call_duration_seconds"
BREAKER = "tollgate_provider_breaker_state"
"""0 closed, 1 half-open, 2 open."""
HEALTH = "tollgate_provider_failing"
"""1 when the provider's own health endpoint reports that it fails."""
_BREAKER_STATES = ("closed", "half-open", "open")


def call_buckets(samples: Iterable[Mapping[str, float]]) -> dict[ProviderName, Buckets]:
    """The answer times of the calls to each provider, over all processors."""
    programs = list(samples)
    return {name: buckets_of(programs, CALL_LATENCY, {"provider": name}) for name in PROVIDERS}


def provider_metrics(
    name: ProviderName, samples: Iterable[Mapping[str, float]], recent_calls: Buckets
) -> dict[str, object]:
    """Null where no processor answered. The answer times are those of `recent_calls`."""
    programs = list(samples)
    states = _values(programs, BREAKER, name)
    failing = _values(programs, HEALTH, name)
    return {
        "p50Ms": _milliseconds(quantile(recent_calls, 0.5)),
        "p99Ms": _milliseconds(quantile(recent_calls, 0.99)),
        # Each processor has a breaker of its own: the worst is shown.
        "breaker": _BREAKER_STATES[int(max(states))] if states else None,
        "isFailing": max(failing) > 0 if failing else None,
    }


def _values(programs: list[Mapping[str, float]], metric: str, provider: ProviderName) -> list[float]:
    key = f'{metric}{{provider="{provider}"}}'
    return [one[key] for one in programs if key in one]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1_000
