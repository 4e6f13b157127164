"""Waiting for something to become true, in place of sleeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.02


async def eventually(condition: Callable[[], Awaitable[bool]], *, what: str, timeout_seconds: float = 15) -> float:
    """Polls `condition` until it holds; the seconds it took. Raises AssertionError, naming `what`, at the bound."""
    started = time.monotonic()
    while not await condition():
        if time.monotonic() - started > timeout_seconds:
            raise AssertionError(f"{what}: not within {timeout_seconds} s")
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - started
