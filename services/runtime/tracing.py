"""Traces, as the services use them. Off unless an endpoint is set; only then `runtime/otlp.py` is imported, and with it
OpenTelemetry.

A span is recorded when what it shows has ended, with the times of its beginning and end: there is no context to carry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import version
from typing import Protocol

from tollgate.runtime.errors import FatalError
from tollgate.runtime.settings import ServiceSettings

Attributes = Mapping[str, str | int | bool]


class Kind(Enum):
    """The kind of a span, by the names of OpenTelemetry."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Span:
    """One step of a payment, in microseconds since the epoch; `error` is empty if there is none."""

    correlation_id: str
    name: str
    kind: Kind
    began_us: int
    ended_us: int
    attributes: Attributes = field(default_factory=dict)
    error: str = ""
    is_root: bool = False
    """Whether it is the parent of all others of the payment."""


class Traces(Protocol):
    """Where spans go. Neither method waits or raises."""

    def samples(self, correlation_id: str) -> bool:
        """Whether the payment is traced: the same in every program."""

    def now_us(self) -> int:
        """The time of day, by the broker's clock where this machine's is wrong."""

    def record(self, span: Span) -> None:
        """Takes the span of a payment that is sampled."""


class Exporting(Traces, Protocol):
    """Traces that are sent to a collector."""

    async def run(self) -> None:
        """Sends spans until cancelled, then those that are left, within a bound."""


def messaging(operation: str, kind: str, subject: str, correlation_id: str, **more: int) -> Attributes:
    """The attributes of the semantic conventions for messaging; `kind` is their type of the operation."""
    return {
        "messaging.system": "nats",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": subject,
        "messaging.message.conversation_id": correlation_id,
        **{f"tollgate.{name}": value for name, value in more.items()},
    }


def traces_of(settings: ServiceSettings, *, program: str, instance: str, now_us: Callable[[], int]) -> Exporting | None:
    """The traces that the settings ask for; None if they are off. Raises FatalError and SettingError."""
    endpoint = settings.traces_endpoint
    ratio = settings.traces_ratio
    if endpoint is None or ratio == 0:
        return None
    try:
        # Not imported while traces are off: it takes memory and time.
        from tollgate.runtime.otlp import OtlpTraces  # noqa: PLC0415
    except ImportError as error:
        raise FatalError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, and {error.name} is not installed: pip install 'tollgate[traces]'"
        ) from None
    resource = {
        "service.name": settings.otel_service_name or f"tollgate-{program}",
        "service.instance.id": instance,
        "service.version": version("tollgate"),
    }
    return OtlpTraces(endpoint, ratio=ratio, resource=resource, now_us=now_us)
