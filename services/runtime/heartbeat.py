"""A file whose age shows whether a service is well, so that a health check needs no program in its container."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from tollgate.runtime.ticks import seconds_to_tick

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0


async def beat(file: str, is_well: Callable[[], bool]) -> None:
    """Touches the file every BEAT_SECONDS while `is_well`, until cancelled; an empty name means no file.

    It runs in the service's event loop, so a service that hangs does not touch the file either.
    """
    can_write = True
    while True:
        if file and is_well():
            can_write = _touch(Path(file), complains=can_write)
        await asyncio.sleep(seconds_to_tick(BEAT_SECONDS))


def _touch(path: Path, *, complains: bool) -> bool:
    """Whether it could be written."""
    try:
        path.touch()
    except OSError as error:
        if complains:
            logger.error("the heartbeat %s cannot be written: %s", path, error.strerror)
        return False
    return True
