"""The clock as a port: code that decides by the time gets one, so that a test can set it."""

import time
from typing import Protocol

from tollgate.contract.timestamps import now_us


class Clock(Protocol):
    """The machine's two clocks."""

    def now_us(self) -> int:
        """The time of day in microseconds since the epoch, UTC. It jumps when it is set."""

    def monotonic_seconds(self) -> float:
        """Seconds since some fixed moment. It never goes back, and may stop while the machine sleeps."""


class SystemClock:
    """The clocks of this machine."""

    def now_us(self) -> int:
        return now_us()

    def monotonic_seconds(self) -> float:
        return time.monotonic()
