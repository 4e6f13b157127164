"""Waits for a condition instead of sleeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.02


async def eventually(condition: Callable[[], Awaitable[bool]], *, what: str, timeout_seconds: float = 15) -> float:
    """Polls `condition` until it holds. Returns the seconds it took; raises AssertionError with `what` at the bound."""
    started = time.monotonic()
    while not await condition():
        if time.monotonic() - started > timeout_seconds:
            raise AssertionError(f"{what}: not within {timeout_seconds} s")
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - started
