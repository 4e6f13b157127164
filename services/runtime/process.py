"""Runs one service: program log, signals, and an exit with its reason in one line."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from tollgate.runtime.errors import BrokerError, FatalError, LogChangedError
from tollgate.runtime.log_fields import LogEvent, about
from tollgate.runtime.program_log import (
    configure_logging,
    follow_level_signals,
    ignore_level_signals,
    log_uncaught_exceptions,
)
from tollgate.runtime.settings import LogSettings, load
from tollgate.runtime.tasks import end

logger = logging.getLogger(__name__)

T = TypeVar("T")

WIND_DOWN_SECONDS = 5.0
"""How long a service may finish what is under way before it is cut off."""
COLLECT_EVERY_OBJECTS = 10_000
"""The garbage collector examines the youngest objects after so many more allocations than deallocations."""


def run(
    service: Callable[[T], Coroutine[Any, Any, None]], settings: type[T], *, program: str, instance: Callable[[T], str]
) -> None:
    """Loads the settings and runs the service until it returns; `instance` returns the name of this replica.

    SIGTERM and SIGINT cancel the service, and it winds down in its `finally` blocks. Exits with status 1 and one line
    when a setting cannot be used, or the service cannot go on.
    """
    ignore_level_signals()
    configure_logging(program=program, instance=program)
    log_uncaught_exceptions()
    # Only the owner may read what a service writes. A socket for other users gets its own mode.
    os.umask(0o077)
    _spare_the_collector()
    try:
        # First, so that a bad value of another setting is logged in the right form.
        log = load(LogSettings)
        configure_logging(log.log_level, log.log_format, program=program, instance=program)
        loaded = load(settings)
        configure_logging(log.log_level, log.log_format, program=program, instance=instance(loaded))
        uvloop.run(_until_signalled(service(loaded)))
    except (FatalError, BrokerError, OSError) as error:
        event: LogEvent = "log_changed" if isinstance(error, LogChangedError) else "exited"
        logger.critical("%s", error, extra=about(event=event, reason=str(error)))
        sys.exit(1)
    finally:
        # Frozen objects are never freed, and DuckDB's binding reports each of its objects that is left at exit.
        gc.unfreeze()


def _spare_the_collector() -> None:
    """Freezes the imported objects, so that the garbage collector skips them.

    Examining them took 60 % of a gateway's CPU time at 200 payments a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY_OBJECTS)


async def run_together(main: Coroutine[Any, Any, None], *background: Coroutine[Any, Any, None]) -> None:
    """Runs all concurrently until `main` returns or any of them fails; raises that error.

    At the end, or when cancelled, `main` is ended first, while the others still run.
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
    follow_level_signals(loop)
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
