"""The server: wires state, application and listener together, and runs them until a signal to stop."""

import asyncio
import signal
from collections.abc import Callable

from tollgate.simulator.app import App
from tollgate.simulator.listener import Listener
from tollgate.simulator.state import Options, State


async def serve(options: Options, announce: Callable[[str], None]) -> None:
    """Runs one provider until SIGTERM or SIGINT; `announce` is called with its URL once it listens.

    Raises OSError when the address cannot be bound, at the start or after a pause.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _settle, ended, None)
    listener = Listener(options.host, options.port, on_failure=lambda reason: _settle(ended, reason))
    await listener.open(App(State(options), listener.pause).handle)
    try:
        announce(listener.url)
        await ended
    finally:
        await listener.close()


def _settle(ended: asyncio.Future[None], reason: OSError | None) -> None:
    if ended.done():
        return
    if reason is None:
        ended.set_result(None)
    else:
        ended.set_exception(reason)
