"""The service's wall clock beside the broker's."""

import time
from collections.abc import Callable

from tollgate.contract.clock_offset import BrokerTime, ClockOffset
from tollgate.contract.payment_state import CLOCK_OFFSET_SECONDS_WARNED
from tollgate.contract.timestamps import now_us


def monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class BrokerClock:
    """Takes every answer that carries the broker's time, and tells how far the wall clock is from it."""

    def __init__(self, *, wall: Callable[[], int] = now_us, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._broker_time: BrokerTime | None = None

    def monotonic_us(self) -> int:
        """What `observe` takes."""
        return self._monotonic()

    def observe(self, asked_at_us: int, told_us: int) -> None:
        """An answer has come now that was asked for at `asked_at_us` and carries the broker's time."""
        newer = BrokerTime.of_answer(asked_at_us, told_us, self._monotonic())
        self._broker_time = newer if self._broker_time is None else self._broker_time.then(newer)

    @property
    def measured_at_us(self) -> int | None:
        """When the last answer came, by the monotonic clock; None before the first."""
        return None if self._broker_time is None else self._broker_time.measured_at_us

    def offset(self) -> ClockOffset | None:
        """The difference at this moment; None before the first answer."""
        if self._broker_time is None:
            return None
        before_us, wall_us = self._monotonic(), self._wall()
        return self._broker_time.offset(before_us, wall_us, self._monotonic())

    def now_us(self) -> int:
        """The time of day: the wall clock's, corrected where it differs by more than CLOCK_OFFSET_SECONDS_WARNED."""
        wall_us, offset = self._wall(), self.offset()
        if offset is None or not offset.exceeds(CLOCK_OFFSET_SECONDS_WARNED):
            return wall_us
        return wall_us - offset.middle_us
