"""Asks all programs once a second while a page is open, and rarely while none is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from tollgate.console.observation import Observation
from tollgate.contract.read_model_api import Charging, Status
from tollgate.contract.statistics import ProgramStatistics
from tollgate.contract.waiting import ChargingFacts
from tollgate.messaging.charging_facts import ask_charging, with_oldest
from tollgate.messaging.connection import Broker
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.runtime.errors import BrokerError

logger = logging.getLogger(__name__)

WATCHED_SECONDS = 1.0
"""Between two sets of questions while a page is open."""
UNWATCHED_SECONDS = 10.0
"""While none is: one point of the series of an hour, so that its chart has no gap."""
ANSWER_SECONDS_MAX = 2.0

AskStatistics = Callable[[], Awaitable[Sequence[ProgramStatistics]]]


class Collector:
    """One set of questions at a time, whatever the number of pages."""

    def __init__(self, broker: Broker, read_model: ReadModel, ask_statistics: AskStatistics) -> None:
        self._broker = broker
        self._read_model = read_model
        self._ask_statistics = ask_statistics
        self.asked = 0
        """Sets of questions since the start."""

    async def observe(self) -> Observation:
        """The answers. What does not answer in time is missing, with its reason."""
        self.asked += 1
        now_us = self._broker.clock.now_us()
        if not self._broker.is_connected:
            return Observation(now_us, ("the broker is away",))
        troubles: list[str] = []
        status, facts, programs, log_end = await asyncio.gather(
            self._status(troubles), self._facts(troubles), self._ask_statistics(), self._log_end(troubles)
        )
        # After the queue: a payment that is acknowledged in between would look like one that the queue has lost.
        charging = await self._charging()
        if facts is not None and charging is not None:
            facts = with_oldest(self._broker, facts, charging)
        # One fault may have several symptoms with the same text.
        return Observation(
            self._broker.clock.now_us(), tuple(dict.fromkeys(troubles)), status, charging, facts, log_end, programs
        )

    async def _status(self, troubles: list[str]) -> Status | None:
        try:
            return await self._read_model.status(timeout_seconds=ANSWER_SECONDS_MAX)
        except ReadModelUnavailableError as error:
            troubles.append(str(error))
            return None

    async def _charging(self) -> Charging | None:
        try:
            return await self._read_model.charging(timeout_seconds=ANSWER_SECONDS_MAX)
        except ReadModelUnavailableError:
            # The question for its status fails for the same reason, and reports it.
            return None

    async def _facts(self, troubles: list[str]) -> ChargingFacts | None:
        try:
            return await ask_charging(self._broker)
        except BrokerError as error:
            troubles.append(str(error))
            return None

    async def _log_end(self, troubles: list[str]) -> int | None:
        try:
            return (await self._broker.log_state(timeout_seconds=ANSWER_SECONDS_MAX)).last_sequence
        except BrokerError as error:
            troubles.append(str(error))
            return None
