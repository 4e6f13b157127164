"""Measures how far the service's wall clock is from the broker's."""

import time
from collections.abc import Callable

from tollgate.contract.clock_offset import BrokerTime, ClockOffset
from tollgate.contract.payment_state import CLOCK_OFFSET_SECONDS_WARNED
from tollgate.contract.timestamps import now_us


def monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class BrokerClock:
    """Computes the offset of the wall clock from the broker's answers that carry its time."""

    def __init__(self, *, wall: Callable[[], int] = now_us, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._broker_time: BrokerTime | None = None

    def monotonic_us(self) -> int:
        """The monotonic clock, for `observe`."""
        return self._monotonic()

    def observe(self, asked_at_us: int, broker_us: int) -> None:
        """Records an answer that arrived now: requested at `asked_at_us`, with the broker's time `broker_us`."""
        newer = BrokerTime.of_answer(asked_at_us, broker_us, self._monotonic())
        self._broker_time = newer if self._broker_time is None else self._broker_time.then(newer)

    @property
    def measured_at_us(self) -> int | None:
        """When the last answer came, by the monotonic clock; None before the first."""
        return None if self._broker_time is None else self._broker_time.measured_at_us

    def offset(self) -> ClockOffset | None:
        """The present offset; None before the first answer."""
        if self._broker_time is None:
            return None
        before_us, wall_us = self._monotonic(), self._wall()
        return self._broker_time.offset(before_us, wall_us, self._monotonic())

    def is_off_by(self, seconds: float) -> bool:
        """Whether the wall clock differs by more for sure."""
        return self._offset_beyond(seconds, self._wall()) is not None

    def now_us(self) -> int:
        """The wall clock's time, corrected if it differs by more than CLOCK_OFFSET_SECONDS_WARNED."""
        wall_us = self._wall()
        offset = self._offset_beyond(CLOCK_OFFSET_SECONDS_WARNED, wall_us)
        return wall_us if offset is None else wall_us - offset.middle_us

    def _offset_beyond(self, seconds: float, wall_us: int) -> ClockOffset | None:
        """The offset if it exceeds the bound for sure; `wall_us` was read just now. Each payment asks several times."""
        if self._broker_time is None or self._broker_time.agrees(wall_us - self._monotonic(), seconds):
            return None
        offset = self.offset()
        return offset if offset is not None and offset.exceeds(seconds) else None
