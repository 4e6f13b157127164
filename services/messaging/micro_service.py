"""A micro service over NATS, as `nats micro ls` lists it."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import nats.micro
from nats.micro.request import Request

from tollgate.messaging.connection import Broker

__all__ = ["Endpoint", "Request", "micro_service"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One subject of the service. The handlers of a service are called one at a time."""

    name: str
    subject: str
    handler: Callable[[Request], Awaitable[None]]


@contextlib.asynccontextmanager
async def micro_service(
    broker: Broker, *, name: str, version: str, description: str, endpoints: Sequence[Endpoint]
) -> AsyncIterator[None]:
    """Serves the endpoints; stops the service at the end."""
    service = await nats.micro.add_service(broker.client, name=name, version=version, description=description)
    try:
        for endpoint in endpoints:
            await service.add_endpoint(name=endpoint.name, subject=endpoint.subject, handler=endpoint.handler)
        yield
    finally:
        await service.stop()
