"""Measures the difference between a service's clock and the broker's, and logs it while it is too large."""

import asyncio
import logging
from typing import Literal

from tollgate.contract.clock_offset import ClockOffset
from tollgate.contract.payment_state import CLOCK_OFFSET_SECONDS_MAX, CLOCK_OFFSET_SECONDS_WARNED
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.messaging.connection import Broker
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.log_fields import about
from tollgate.runtime.tasks import set_within
from tollgate.runtime.ticks import seconds_to_tick

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the wall clock is compared with the last measurement; this sends no request."""
MEASURE_SECONDS = 5.0
"""The age of the last measurement at which the broker is asked for its time."""
MEASURE_TIMEOUT_SECONDS = 5.0
REPEAT_SECONDS = 60.0

Grade = Literal["right", "off", "too far off"]


class ClockWatch:
    """Measures and logs the clock's offset.

    The program log names what the service does while its clock is off: `consequence`, and `too_far` beyond
    CLOCK_OFFSET_SECONDS_MAX.
    """

    def __init__(self, broker: Broker, *, consequence: str, too_far: str) -> None:
        self._broker = broker
        self._consequence = {"right": "", "off": consequence, "too far off": too_far}
        self._suspected = asyncio.Event()
        self._logged: Grade = "right"
        self._logged_at = float("-inf")

    @property
    def offset(self) -> ClockOffset | None:
        return self._broker.clock.offset()

    @property
    def is_right(self) -> bool:
        """Whether there is no sign that the clock is off by more than CLOCK_OFFSET_SECONDS_MAX."""
        return not (self._suspected.is_set() or self._broker.clock.is_off_by(CLOCK_OFFSET_SECONDS_MAX))

    def now_us(self) -> int:
        """The wall clock's time, corrected if it is off."""
        return self._broker.clock.now_us()

    def suspect(self) -> None:
        """Called when a time of storing contradicts the clock: `is_right` is false until the next measurement."""
        self._suspected.set()

    async def run(self) -> None:
        """Measures and logs until cancelled."""
        while True:
            await self._measure()
            self._log()
            await set_within(self._suspected, seconds_to_tick(LOOK_SECONDS))

    async def _measure(self) -> None:
        clock = self._broker.clock
        measured_at_us = clock.measured_at_us
        is_due = measured_at_us is None or clock.monotonic_us() - measured_at_us >= MEASURE_SECONDS * MICROSECONDS
        if not (is_due or self._suspected.is_set()):
            return
        try:
            await self._broker.connected()
            await self._broker.log_state(timeout_seconds=MEASURE_TIMEOUT_SECONDS)
        except BrokerError:
            # The connection logs that the broker is away.
            await asyncio.sleep(LOOK_SECONDS)
            return
        self._suspected.clear()

    def _log(self) -> None:
        offset = self.offset
        grade, now = _grade(offset), asyncio.get_running_loop().time()
        if grade == self._logged and (grade == "right" or now - self._logged_at < REPEAT_SECONDS):
            return
        self._logged, self._logged_at = grade, now
        seconds = 0.0 if offset is None else offset.middle_seconds
        off = about(event="clock_off", offset_seconds=seconds)
        match grade:
            case "right":
                right = about(event="clock_right", offset_seconds=seconds)
                logger.info("this service's clock is right again: %s", offset, extra=right)
            case "off":
                logger.warning("this service's clock is %s: %s", offset, self._consequence[grade], extra=off)
            case "too far off":
                logger.error("this service's clock is %s: %s", offset, self._consequence[grade], extra=off)


def _grade(offset: ClockOffset | None) -> Grade:
    if offset is None or not offset.exceeds(CLOCK_OFFSET_SECONDS_WARNED):
        return "right"
    return "too far off" if offset.exceeds(CLOCK_OFFSET_SECONDS_MAX) else "off"
