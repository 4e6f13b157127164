"""Queries of summaries and payments, the gateway's readiness, and the purge of the log."""

import asyncio
import logging
from http import HTTPStatus

from tollgate.contract.events import LedgerPurged
from tollgate.contract.read_model_api import PaymentView, Summary, SummaryQuestion
from tollgate.contract.timestamps import now_us
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.problems import Problem, malformed, unavailable
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import QuestionRefusedError, ReadModel, ReadModelUnavailableError
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

QUESTION_TIMEOUT_SECONDS = 4.0
HISTORY_TIMEOUT_SECONDS = 4.0
PURGE_TIMEOUT_SECONDS = 10.0


class Ledger:
    """Answers queries from the read model and the log."""

    def __init__(self, broker: Broker, log: Log, read_model: ReadModel, dedup_index: DedupIndex) -> None:
        self._broker = broker
        self._log = log
        self._read_model = read_model
        self._dedup_index = dedup_index

    async def summary(self, question: SummaryQuestion) -> Summary:
        """The totals of a window. Raises Problem (400, 503) when the read model cannot answer."""
        try:
            return await self._read_model.summary(question, timeout_seconds=QUESTION_TIMEOUT_SECONDS)
        except ReadModelUnavailableError as error:
            raise unavailable(f"no summary can be given now: {error}") from None
        except QuestionRefusedError as error:
            raise malformed(str(error)) from None

    async def payment(self, correlation_id: str) -> tuple[PaymentView, list[tuple[int, bytes]]]:
        """A payment and its events as (sequence, JSON). Raises Problem (404, 503)."""
        try:
            view = await self._read_model.payment(correlation_id, timeout_seconds=QUESTION_TIMEOUT_SECONDS)
            if view is None:
                raise Problem(HTTPStatus.NOT_FOUND, f"no payment {correlation_id} was requested")
            return view, await self._history(view)
        except (ReadModelUnavailableError, BrokerError) as error:
            raise unavailable(f"the payment cannot be shown now: {error}") from None

    async def purge(self) -> None:
        """Voids all earlier events: stores LedgerPurged, then removes earlier messages. Raises Problem (503)."""
        try:
            purged = await self._log.append(LedgerPurged("gateway", now_us()), timeout_seconds=PURGE_TIMEOUT_SECONDS)
            await self._log.purge_before(purged.sequence, timeout_seconds=PURGE_TIMEOUT_SECONDS)
        except BrokerError as error:
            raise unavailable(f"the log cannot be purged now: {error}") from None
        logger.warning(
            "the log was purged before sequence %d",
            purged.sequence,
            extra=about(event="log_purged", sequence=purged.sequence),
        )

    def why_not_ready(self) -> str | None:
        """What keeps this gateway from accepting payments; None if nothing."""
        if not self._broker.is_connected:
            return "the broker is away"
        if not self._dedup_index.is_current:
            return "the log is still being read"
        if (refusal := self._log.refusal) is not None:
            return f"the log accepts no payments: {refusal}"
        return self._dedup_index.log_fault

    @property
    def is_started(self) -> bool:
        """Whether this gateway has read the log to its end once, so that it can tell new payments from repeats."""
        return self._dedup_index.is_started

    async def _history(self, view: PaymentView) -> list[tuple[int, bytes]]:
        deadline = asyncio.get_running_loop().time() + HISTORY_TIMEOUT_SECONDS
        return await self._log.events_of(view.correlation_id, view.sequences, deadline=deadline)
