"""The contest's payment processor in virtual time.

So many payments run at once and so many wait, the rest is turned away. The delay comes first and does not end when the
client leaves; then it fails or charges, as it fares at that moment.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

RUNNING_MAX = 800
WAITING_MAX = 500


@dataclass(slots=True)
class Counter:
    """`delay_seconds` and `failing` are as of now; calls are numbers, whatever they mean to the caller."""

    schedule: Callable[[float, int], None]
    """Is told when a call that has begun will end."""
    delay_seconds: float = 0.0
    failing: bool = False
    running: int = 0
    waiting: deque[int] = field(default_factory=deque)

    def admit(self, call: int, now: float) -> bool:
        """False when the call is turned away."""
        if self.running < RUNNING_MAX:
            self._begin(call, now)
            return True
        if len(self.waiting) < WAITING_MAX:
            self.waiting.append(call)
            return True
        return False

    def leave(self, now: float) -> bool:
        """A call ends: whether it charged. The next one that waits begins."""
        self.running -= 1
        if self.waiting:
            self._begin(self.waiting.popleft(), now)
        return not self.failing

    def _begin(self, call: int, now: float) -> None:
        self.running += 1
        self.schedule(now + self.delay_seconds, call)
