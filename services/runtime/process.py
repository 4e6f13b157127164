"""Running one service: logging, signals, and an exit that says in one line why."""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from tollgate.runtime.errors import BrokerError, FatalError
from tollgate.runtime.settings import load
from tollgate.runtime.tasks import end

logger = logging.getLogger(__name__)

T = TypeVar("T")

WIND_DOWN_SECONDS = 5.0
"""How long a service may finish what is under way before it is cut off."""
COLLECT_EVERY_OBJECTS = 10_000
"""The collector of cycles looks at the youngest objects after so many more allocations than deallocations."""


def configure_logging(level: str = "INFO") -> None:
    """One line for each record on stderr: time in UTC, level, module, message."""
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)


def run(service: Callable[[T], Coroutine[Any, Any, None]], settings: type[T]) -> None:
    """Loads the settings and runs the service until it returns.

    SIGTERM and SIGINT cancel the service, and it winds down in its `finally` blocks. Exits with status 1 and one line
    when a setting cannot be used, or the service cannot go on.
    """
    configure_logging()
    # Only the owner reads what a service writes. A socket that others connect to gets a mode of its own.
    os.umask(0o077)
    _spare_the_collector()
    try:
        uvloop.run(_until_signalled(service(load(settings))))
    except (FatalError, BrokerError, OSError) as error:
        logger.critical("%s", error)
        sys.exit(1)
    finally:
        # What stays frozen is never freed, and DuckDB's binding tells of each of its objects that is left over.
        gc.unfreeze()


def _spare_the_collector() -> None:
    """Takes what was imported out of the collector's sight.

    It looked at all of it again and again: 60 % of a gateway's CPU time at 200 payments a second went there.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY_OBJECTS)


async def run_together(main: Coroutine[Any, Any, None], *background: Coroutine[Any, Any, None]) -> None:
    """Runs all side by side until `main` returns or any of them fails; that error is raised.

    When it is over, or cancelled, `main` winds down first, while the others still serve it.
    """
    running = [asyncio.ensure_future(one) for one in (main, *background)]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in running:
            await end(task, again_seconds=WIND_DOWN_SECONDS)


async def _until_signalled(service: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(service)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
