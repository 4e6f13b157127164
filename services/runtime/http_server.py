"""Serves an ASGI application with uvicorn inside a running loop."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import uvicorn

from tollgate.runtime.errors import FatalError
from tollgate.runtime.tasks import set_within
from tollgate.runtime.ticks import seconds_to_tick

DATE_SECONDS = 1.0
"""How often the Date header is set anew."""


def server_config(app: Any, *, lifespan: Literal["on", "off"], drain_seconds: int, **specific: Any) -> uvicorn.Config:
    """What all HTTP servers have in common: no logs of uvicorn's own, no Server header, no trust in a proxy's headers.

    `drain_seconds` is how long a stopping server lets requests finish; `specific` are further options of uvicorn.
    """
    return uvicorn.Config(
        app,
        ws="none",
        lifespan=lifespan,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=drain_seconds,
        **specific,
    )


class _Server(uvicorn.Server):
    """The original wakes ten times a second to check whether it has to stop, which is most of an idle gateway's CPU."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begins to stop: requests under way finish."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        # A counter of 0 sets the Date header.
        while not await self.on_tick(0):
            await set_within(self._stopping, seconds_to_tick(DATE_SECONDS))

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
        server.stop()
        await serving
        raise
    except SystemExit:
        # uvicorn exits when a socket cannot be bound; it has logged why.
        raise FatalError(f"the {program} cannot listen") from None
    except OSError as error:
        # Otherwise the end of the loop interrupts the application's shutdown, with a traceback.
        await server.lifespan.shutdown()
        raise FatalError(f"the {program} cannot listen: {error}") from None
