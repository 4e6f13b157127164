"""How far a service's wall clock is from the broker's, from the times that the broker's answers carry. Pure.

The broker's time is related to the service's monotonic clock, which nobody sets: so a wall clock that is set shows at
once, without a question (docs/decisions/0024). All times are in microseconds.
"""

from dataclasses import dataclass
from typing import Self

from tollgate.contract.timestamps import MICROSECONDS

DRIFT_US_PER_SECOND = 500
"""How far two clocks may run apart: NTP slews one by no more."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The wall clock minus the broker's clock: somewhere from `low_us` to `high_us`."""

    low_us: int
    high_us: int

    @property
    def middle_us(self) -> int:
        return (self.low_us + self.high_us) // 2

    @property
    def uncertainty_us(self) -> int:
        """The true offset is no further from the middle."""
        return (self.high_us - self.low_us + 1) // 2

    def exceeds(self, bound_seconds: float) -> bool:
        """Whether the clocks differ by more than the bound for certain, wherever in its range the offset lies."""
        bound_us = bound_seconds * MICROSECONDS
        return self.low_us > bound_us or self.high_us < -bound_us

    def __str__(self) -> str:
        """`2.003 s behind the broker's (± 0.001 s)`."""
        side = "behind" if self.middle_us < 0 else "ahead of"
        return (
            f"{abs(self.middle_us) / MICROSECONDS:.3f} s {side} the broker's"
            f" (± {self.uncertainty_us / MICROSECONDS:.3f} s)"
        )


@dataclass(frozen=True, slots=True)
class BrokerTime:
    """The broker's clock minus this process's monotonic clock: from `low_us` to `high_us`, as of `measured_at_us`."""

    low_us: int
    high_us: int
    measured_at_us: int
    """By the monotonic clock."""

    @classmethod
    def of_answer(cls, asked_at_us: int, told_us: int, answered_at_us: int) -> Self:
        """Of one answer, asked for and received at these moments of the monotonic clock, that carries the time.

        The broker read its clock somewhere in between: a slow answer makes the range wider, never wrong.
        """
        # Each time was cut to whole microseconds.
        slack_us = _drift_us(answered_at_us - asked_at_us) + 1
        return cls(told_us - answered_at_us - slack_us, told_us - asked_at_us + slack_us, answered_at_us)

    def then(self, newer: "BrokerTime") -> "BrokerTime":
        """What both measurements allow; the newer alone where they contradict, since a clock was set in between."""
        older = self._at(newer.measured_at_us)
        low_us, high_us = max(older.low_us, newer.low_us), min(older.high_us, newer.high_us)
        return newer if low_us > high_us else BrokerTime(low_us, high_us, newer.measured_at_us)

    def offset(self, before_us: int, wall_us: int, after_us: int) -> ClockOffset:
        """Of a wall clock that was read between these two moments of the monotonic clock."""
        now = self._at(after_us)
        return ClockOffset(wall_us - after_us - now.high_us, wall_us - before_us - now.low_us)

    def _at(self, monotonic_us: int) -> "BrokerTime":
        """As of a later moment: the clocks may have run apart since."""
        drift_us = _drift_us(monotonic_us - self.measured_at_us)
        return BrokerTime(self.low_us - drift_us, self.high_us + drift_us, monotonic_us)


def clock_json(offset: ClockOffset) -> dict[str, float]:
    """As `--json` of the operator's commands shows it: how far ahead, below zero when behind."""
    return {
        "ahead_seconds": offset.middle_us / MICROSECONDS,
        "uncertainty_seconds": offset.uncertainty_us / MICROSECONDS,
    }


def _drift_us(passed_us: int) -> int:
    return max(passed_us, 0) * DRIFT_US_PER_SECOND // MICROSECONDS + 1
