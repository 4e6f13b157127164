"""How many doubts of one provider are in hand at once, and how soon the next is taken. Pure."""

from dataclasses import dataclass
from math import inf

START = 8
"""Doubts in hand at once, to begin with."""
MAX = 64
PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 1.0


@dataclass(slots=True)
class Pace:
    """One more at once after each doubt that ends; half as many, and a growing pause, after one that stays."""

    at_once: int = START
    pause_seconds: float = 0.0
    _next_at: float = -inf

    def room(self, in_hand: int, now: float) -> int:
        """How many more may be taken."""
        return 0 if now < self._next_at else max(self.at_once - in_hand, 0)

    def ended(self) -> None:
        """One has ended."""
        self.at_once = min(self.at_once + 1, MAX)
        self.pause_seconds = 0.0

    def stays(self, now: float) -> None:
        """One could not be ended. Those that stay during a pause count as one."""
        if now >= self._next_at:
            self.at_once = max(self.at_once // 2, 1)
            self.pause_seconds = min(max(self.pause_seconds * 2, PAUSE_SECONDS_MIN), PAUSE_SECONDS_MAX)
            self._next_at = now + self.pause_seconds
