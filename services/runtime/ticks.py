"""Common moments for periodic work.

Each wake-up of an idle program costs it, and the broker that it asks, more than the work that is then done. So what is
due every second or half second is done at the same moments, in all programs of a machine.
"""

import asyncio


def seconds_to_tick(period_seconds: float) -> float:
    """The seconds until the running loop's time is a multiple of the period; 1/4 to 5/4 of the period."""
    left_seconds = period_seconds - asyncio.get_running_loop().time() % period_seconds
    # A timer may end a little early; that moment is not waited for again.
    return left_seconds if left_seconds >= period_seconds / 4 else left_seconds + period_seconds
