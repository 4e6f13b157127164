"""Asks broker, services and supervisor for one set of answers."""

import asyncio
from collections.abc import Callable, Sequence

from tollgate.console.collector import ANSWER_SECONDS_MAX, AskStatistics, Collector
from tollgate.contract.log_mark import LogState
from tollgate.contract.read_model_api import Status
from tollgate.contract.read_model_health import Lag
from tollgate.messaging.connection import Broker
from tollgate.messaging.read_model_client import ReadModel
from tollgate.messaging.read_model_lag import measure_lag
from tollgate.runtime.errors import BrokerError
from tollgate.status.answers import Answers, ProgramProcess

AskProcesses = Callable[[], Sequence[ProgramProcess]]


class Questions:
    """One set of questions at a time; what does not answer within ANSWER_SECONDS_MAX is missing, with its reason."""

    def __init__(self, broker: Broker, ask_statistics: AskStatistics, ask_processes: AskProcesses) -> None:
        self._broker = broker
        self._collector = Collector(broker, ReadModel(broker), ask_statistics)
        self._ask_processes = ask_processes

    async def ask(self) -> Answers:
        processes = await asyncio.to_thread(self._ask_processes)
        observation = await self._collector.observe()
        log, lag = await self._lag(observation.status)
        return Answers(observation, log, lag, processes)

    async def _lag(self, status: Status | None) -> tuple[LogState | None, Lag | None]:
        if status is None:
            return None, None
        try:
            return await measure_lag(self._broker, status, timeout_seconds=ANSWER_SECONDS_MAX)
        except BrokerError:
            # The collector's own question for the log's end fails for the same reason, and reports it.
            return None, None
