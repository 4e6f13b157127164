"""A provider of the Rinha benchmark in virtual time.

A limited number of payments runs at once, a limited number waits, the rest is refused. The delay comes first and does
not end when the client disconnects; then the provider fails or charges, by its state at that time.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

RUNNING_MAX = 800
WAITING_MAX = 500


@dataclass(slots=True)
class Counter:
    """`delay_seconds` and `failing` are the current state; calls are numbers chosen by the caller."""

    schedule: Callable[[float, int], None]
    """Called with the time at which a started call will end."""
    delay_seconds: float = 0.0
    failing: bool = False
    running: int = 0
    waiting: deque[int] = field(default_factory=deque)

    def admit(self, call: int, now: float) -> bool:
        """Starts or queues a call. False when it is refused."""
        if self.running < RUNNING_MAX:
            self._begin(call, now)
            return True
        if len(self.waiting) < WAITING_MAX:
            self.waiting.append(call)
            return True
        return False

    def leave(self, now: float) -> bool:
        """Ends a call, and starts the next waiting one. Returns whether it charged."""
        self.running -= 1
        if self.waiting:
            self._begin(self.waiting.popleft(), now)
        return not self.failing

    def _begin(self, call: int, now: float) -> None:
        self.running += 1
        self.schedule(now + self.delay_seconds, call)
