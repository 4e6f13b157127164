"""The listener: one address, open until the program ends, with pauses on demand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_BACKLOG: Final = 2048
_KEEPALIVE_SECONDS: Final = 130.0
_SHUTDOWN_SECONDS: Final = 0.2
_CLOSING_SECONDS: Final = 0.01
_REOPEN_RETRIES: Final = 50
_REOPEN_PAUSE_SECONDS: Final = 0.1


class Listener:
    """Serves HTTP on `host`:`port`; port 0 takes any free one and keeps it.

    `on_failure` is called with the error when the address cannot be bound again after a pause.
    """

    def __init__(self, host: str, port: int, on_failure: Callable[[OSError], None]) -> None:
        self._host = host
        self._port = port
        self._on_failure = on_failure
        self._reopening: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The URL of the listener."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def open(self, handler: Handler) -> None:
        """Starts listening. Raises OSError when the address cannot be bound."""
        # Handlers continue when their client disconnects: a real provider charges such payments, too.
        self._http = web.Server(
            handler, handler_cancellation=False, access_log=None, keepalive_timeout=_KEEPALIVE_SECONDS
        )
        await self._listen()

    async def pause(self, seconds: float, asking: web.RequestHandler) -> None:
        """Closes the socket and every connection, and listens again after `seconds`; a later pause replaces it.

        The connection `asking` stays open for its answer: a client that has read the answer can rely on everything else
        being closed.
        """
        self._stop_listening()
        for connection in self._http.connections:
            if connection is not asking:
                connection.force_close()
        self._reopening = asyncio.get_running_loop().create_task(self._reopen(seconds))
        # The event loop closes a socket some iterations after `close`.
        await asyncio.sleep(_CLOSING_SECONDS)

    async def close(self) -> None:
        """Stops listening and ends what still runs, within half a second."""
        self._stop_listening()
        self._http.pre_shutdown()
        await self._http.shutdown(_SHUTDOWN_SECONDS)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket = await loop.create_server(self._http, self._host, self._port, backlog=_BACKLOG)
        self._port = self._socket.sockets[0].getsockname()[1]

    def _stop_listening(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
        self._socket.close()

    async def _reopen(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        failure = await self._try_to_listen()
        for _ in range(_REOPEN_RETRIES):
            if failure is None:
                return
            await asyncio.sleep(_REOPEN_PAUSE_SECONDS)
            failure = await self._try_to_listen()
        if failure is not None:
            self._on_failure(failure)

    async def _try_to_listen(self) -> OSError | None:
        try:
            await self._listen()
        except OSError as failure:
            return failure
        return None
