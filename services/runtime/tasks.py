"""Ends tasks reliably, and waits with a bound."""

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")

AGAIN_SECONDS = 1.0


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits until the event is set, `seconds` at most. Returns whether it is set."""
    if seconds > 0 and not event.is_set():
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
    return event.is_set()


async def result_within(future: asyncio.Future[T], deadline: float) -> T:
    """The future's result; raises TimeoutError at the deadline, in the running loop's time.

    For what each payment waits for: it takes a quarter of the CPU time of `asyncio.timeout_at`.
    """
    expiring = asyncio.get_running_loop().call_at(deadline, _expire, future)
    try:
        return await future
    finally:
        expiring.cancel()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


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
