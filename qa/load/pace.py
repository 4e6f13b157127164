"""Calls at a constant rate, independent of the answers: an open loop.

The clock ticks in a thread. An event loop's own timers round up to whole milliseconds, which at 550 a second would make
half of the sends late by more than a third of a millisecond; a sleeping thread is late by 0.14 ms, for no more CPU.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable


async def keep_pace(rate_per_second: float, count: int, begin: Callable[[float], None]) -> None:
    """Calls `begin` on the running loop `count` times, each with the time.perf_counter() second it was due."""
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()
    stopped = threading.Event()

    def tick() -> None:
        began_at = time.perf_counter()
        for number in range(count):
            due_at = began_at + number / rate_per_second
            if stopped.wait(max(0.0, due_at - time.perf_counter())):
                return
            loop.call_soon_threadsafe(begin, due_at)
        loop.call_soon_threadsafe(finished.set)

    thread = threading.Thread(target=tick, name="pace", daemon=True)
    thread.start()
    try:
        await finished.wait()
    finally:
        stopped.set()
        thread.join()
