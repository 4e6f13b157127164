"""Serves the application with uvicorn inside a running loop."""

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from blacksheep import Application

from tollgate.gateway.protocol import Protocol
from tollgate.gateway.settings import Settings
from tollgate.runtime.errors import FatalError

KEEP_ALIVE_SECONDS = 300
"""Longer than the edge keeps idle connections, so that this side never closes one while a request arrives."""
CONNECTIONS_BACKLOG = 2_048
DRAIN_SECONDS = 2
"""How long a stopping server lets requests finish."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The service's own runner handles the signals.
        yield


async def serve_http(app: Application, settings: Settings) -> None:
    """Serves until cancelled, then lets requests finish. Raises FatalError when it cannot listen."""
    server = _Server(
        uvicorn.Config(
            app,
            uds=settings.gateway_uds or None,
            host=settings.gateway_host,
            port=settings.gateway_port,
            http=Protocol,
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            backlog=CONNECTIONS_BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    serving = asyncio.ensure_future(server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    except SystemExit:
        # uvicorn exits when a socket cannot be bound; it has logged why.
        raise FatalError("the gateway cannot listen") from None
    except OSError as error:
        # Otherwise the end of the loop interrupts the application's shutdown, with a traceback.
        await server.lifespan.shutdown()
        raise FatalError(f"the gateway cannot listen: {error}") from None
