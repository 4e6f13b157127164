"""The result of one health check of a provider."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """One answer of the health endpoint."""

    failing: bool
    min_response_seconds: float


@dataclass(frozen=True, slots=True)
class NoHealth:
    """The check failed, or its answer was no health."""

    why: str
