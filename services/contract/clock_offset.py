"""The difference between a service's wall clock and the broker's, from the times in the broker's answers. Pure.

The broker's time is related to the service's monotonic clock, which is never set. A wall clock that is set is therefore
detected at once, without a request (docs/decisions/0024). All times are in microseconds.
"""

from dataclasses import dataclass
from typing import Self

from tollgate.contract.timestamps import MICROSECONDS

DRIFT_US_PER_SECOND = 500
"""The largest drift between two clocks: NTP slews a clock by no more."""


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The wall clock minus the broker's clock: between `low_us` and `high_us`."""

    low_us: int
    high_us: int

    @property
    def middle_us(self) -> int:
        return (self.low_us + self.high_us) // 2

    @property
    def middle_seconds(self) -> float:
        return self.middle_us / MICROSECONDS

    @property
    def uncertainty_us(self) -> int:
        """The largest distance of the true offset from the middle."""
        return (self.high_us - self.low_us + 1) // 2

    def exceeds(self, bound_seconds: float) -> bool:
        """Whether the clocks certainly differ by more than the bound, wherever in the range the offset is."""
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
    """The broker's clock minus this process's monotonic clock: between `low_us` and `high_us`, at `measured_at_us`."""

    low_us: int
    high_us: int
    measured_at_us: int
    """By the monotonic clock."""

    @classmethod
    def of_answer(cls, asked_at_us: int, broker_us: int, answered_at_us: int) -> Self:
        """From one answer with the broker's time `broker_us`; the other two are times of the monotonic clock.

        The broker read its clock at some time between request and answer: a slow answer widens the range, and the
        range still holds the true value.
        """
        # Each time was truncated to whole microseconds.
        slack_us = _drift_us(answered_at_us - asked_at_us) + 1
        return cls(broker_us - answered_at_us - slack_us, broker_us - asked_at_us + slack_us, answered_at_us)

    def then(self, newer: "BrokerTime") -> "BrokerTime":
        """The intersection of both measurements; the newer alone if they contradict, because a clock was set since."""
        older = self._at(newer.measured_at_us)
        low_us, high_us = max(older.low_us, newer.low_us), min(older.high_us, newer.high_us)
        return newer if low_us > high_us else BrokerTime(low_us, high_us, newer.measured_at_us)

    def offset(self, before_us: int, wall_us: int, after_us: int) -> ClockOffset:
        """The offset of a wall clock that was read between these two times of the monotonic clock."""
        drift_us = _drift_us(after_us - self.measured_at_us)
        # What `_at(after_us)` says, without making that object: a processor asks four times for each payment.
        return ClockOffset(
            wall_us - after_us - (self.high_us + drift_us), wall_us - before_us - (self.low_us - drift_us)
        )

    def agrees(self, difference_us: int, bound_seconds: float) -> bool:
        """Whether a wall clock that is now `difference_us` ahead of the monotonic clock is within the bound for sure.

        False may be wrong: drift is left out, so the range is narrower than that of `offset`.
        """
        bound_us = bound_seconds * MICROSECONDS
        return difference_us - self.high_us <= bound_us and difference_us - self.low_us >= -bound_us

    def _at(self, monotonic_us: int) -> "BrokerTime":
        """The same at a later time: wider, by what the clocks may have drifted since."""
        drift_us = _drift_us(monotonic_us - self.measured_at_us)
        return BrokerTime(self.low_us - drift_us, self.high_us + drift_us, monotonic_us)


def clock_json(offset: ClockOffset) -> dict[str, float]:
    """The offset in the `--json` output of operator commands; negative when behind."""
    return {
        "ahead_seconds": offset.middle_us / MICROSECONDS,
        "uncertainty_seconds": offset.uncertainty_us / MICROSECONDS,
    }


def _drift_us(passed_us: int) -> int:
    return max(passed_us, 0) * DRIFT_US_PER_SECOND // MICROSECONDS + 1
