"""Serves an ASGI application with uvicorn inside a running loop."""

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn

from tollgate.runtime.errors import FatalError


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The service's own runner handles the signals.
        yield


async def serve(config: uvicorn.Config, *, program: str) -> None:
    """Serves until cancelled, then lets requests finish. Raises FatalError when it cannot listen."""
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    except SystemExit:
        # uvicorn exits when a socket cannot be bound; it has logged why.
        raise FatalError(f"the {program} cannot listen") from None
    except OSError as error:
        # Otherwise the end of the loop interrupts the application's shutdown, with a traceback.
        await server.lifespan.shutdown()
        raise FatalError(f"the {program} cannot listen: {error}") from None
