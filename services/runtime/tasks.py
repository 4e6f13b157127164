"""Ends tasks reliably."""

import asyncio
from typing import Any

AGAIN_SECONDS = 1.0


async def end(task: asyncio.Future[Any], *, again_seconds: float = AGAIN_SECONDS) -> None:
    """Cancels the task and waits until it has ended; its result is dropped.

    It is cancelled again while it runs on: nats-py's flush swallows a cancellation, and so does `asyncio.wait_for` of
    Python 3.11 when its future is done at the same time.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=again_seconds)
    if not task.cancelled():
        task.exception()
