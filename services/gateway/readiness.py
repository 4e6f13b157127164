"""Warnings of a gateway that accepts payments: payments wait too long, or its clock is off."""

import asyncio

from tollgate.contract.payment_state import CLOCK_OFFSET_SECONDS_WARNED
from tollgate.contract.read_model_api import Status
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.contract.waiting import DOUBT_SECONDS_MAX, OLDEST_SECONDS_MAX
from tollgate.messaging.broker_clock import BrokerClock
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError

ANSWER_SECONDS = 0.5
"""Callers of `/readyz` are expected to time out after a second."""
FRESH_SECONDS = 2.0
"""The read model is asked at most once in this time, however often `/readyz` is called."""


class Readiness:
    """Warnings for `/readyz`. None of them keeps the gateway from accepting payments."""

    def __init__(self, read_model: ReadModel, clock: BrokerClock) -> None:
        self._read_model = read_model
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._of_read_model: list[str] = []

    async def warnings(self) -> list[str]:
        """The present warnings; empty if there are none."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._asked_at >= FRESH_SECONDS:
                self._of_read_model = await self._ask()
                self._asked_at = asyncio.get_running_loop().time()
        return [*self._of_clock(), *self._of_read_model]

    def _of_clock(self) -> list[str]:
        offset = self._clock.offset()
        if offset is None or not offset.exceeds(CLOCK_OFFSET_SECONDS_WARNED):
            return []
        return [f"this gateway's clock is {offset}; payments are stamped by the broker's"]

    async def _ask(self) -> list[str]:
        try:
            status = await self._read_model.status(timeout_seconds=ANSWER_SECONDS)
        except ReadModelUnavailableError as error:
            return [f"no summary can be given, and whether payments wait is unknown: {error}"]
        return waiting_warnings(status, self._clock.now_us())


def waiting_warnings(status: Status, now_us: int) -> list[str]:
    """Warnings about payments that wait too long, from the read model's status. Pure."""
    warnings = []
    oldest, doubt_us = status.oldest_chargeable, status.oldest_doubt_us
    if oldest is not None and (seconds := (now_us - oldest.stored_at_us) / MICROSECONDS) > OLDEST_SECONDS_MAX:
        warnings.append(
            f"{status.pending + status.routed} payments wait to be charged, the oldest for {seconds:.0f} s;"
            " `processor status` names the cause"
        )
    if doubt_us is not None and (seconds := (now_us - doubt_us) / MICROSECONDS) > DOUBT_SECONDS_MAX:
        warnings.append(f"{status.in_doubt} payments are in doubt, the oldest for {seconds:.0f} s")
    return warnings
