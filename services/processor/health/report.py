"""What a payment processor says of its own health."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """One answer of its health endpoint."""

    failing: bool
    min_response_seconds: float


@dataclass(frozen=True, slots=True)
class NoNews:
    """The call told nothing."""

    why: str
