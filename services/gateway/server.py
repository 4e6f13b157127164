"""Serves the gateway's application."""

from functools import partial

from blacksheep import Application

from tollgate.gateway.payment_endpoint import PaymentEndpoint
from tollgate.gateway.protocol import Protocol
from tollgate.gateway.settings import Settings
from tollgate.runtime.http_server import serve, server_config

KEEP_ALIVE_SECONDS = 300
"""Longer than the edge keeps idle connections, so that this side never closes one while a request arrives."""
CONNECTIONS_BACKLOG = 2_048
DRAIN_SECONDS = 2
"""How long a stopping server lets requests finish."""


async def serve_http(app: Application, payments: PaymentEndpoint, settings: Settings) -> None:
    """Serves until cancelled, then lets requests finish. Raises FatalError when it cannot listen."""
    config = server_config(
        app,
        uds=settings.gateway_uds or None,
        host=settings.gateway_host,
        port=settings.gateway_port,
        http=partial(Protocol, payments),
        lifespan="on",
        backlog=CONNECTIONS_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        drain_seconds=DRAIN_SECONDS,
    )
    await serve(config, program="gateway")
