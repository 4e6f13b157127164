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
    broker: Broker,
    *,
    name: str,
    version: str,
    description: str,
    endpoints: Sequence[Endpoint],
    queue_group: str | None = None,
) -> AsyncIterator[None]:
    """Serves the endpoints; stops the service at the end.

    Of the services in one queue group one gets each request; without a name, all services are in the same group.
    """
    service = await nats.micro.add_service(
        broker.client, name=name, version=version, description=description, queue_group=queue_group
    )
    try:
        for endpoint in endpoints:
            await service.add_endpoint(name=endpoint.name, subject=endpoint.subject, handler=endpoint.handler)
        yield
    finally:
        await service.stop()
