"""Looks up the payments that the state cache does not know, many with one question to the read model.

A redelivered or an old request costs a share of one question, however long the log is. While the read model is away
for longer than AWAY_SECONDS_MAX, the log is read instead, once for all payments that wait, from their first request on.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tollgate.contract.known_ids import Known, KnownPayment
from tollgate.contract.payment_state import Ended
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.processor.charging.histories import UnknownPaymentError
from tollgate.processor.charging.history import History
from tollgate.processor.charging.ports import KnownPayments, PaymentHistories
from tollgate.runtime.errors import BrokerUnavailableError, TollgateError

logger = logging.getLogger(__name__)

BATCH_MAX = 256
"""Payments in one question; the next ones go into another."""
QUESTION_TIMEOUT_SECONDS = 5.0
PAUSE_SECONDS = 0.5
"""Between two tries to ask a read model that is away."""
AWAY_SECONDS_MAX = 5.0
"""How long payments wait for a read model that is away, before the log is read for them."""

Found = History | Ended


@dataclass(slots=True)
class _Batch:
    """Payments that are looked up together: the sequences of their requests, None where it is not known."""

    requests: dict[str, int | None] = field(default_factory=dict)
    up_to: int = 0
    """The answer has to be complete up to this sequence."""
    finding: asyncio.Task[Mapping[str, Found | TollgateError]] = field(init=False)


class Lookups:
    """Finds payments. One question is asked at a time; what is wanted meanwhile goes into the next.

    `is_sure` returns whether the log is known to be the one that was read (`LogWatch`). An answer is used only then.
    """

    def __init__(
        self,
        read_model: KnownPayments,
        histories: PaymentHistories,
        is_sure: Callable[[], bool],
        *,
        away_seconds_max: float = AWAY_SECONDS_MAX,
    ) -> None:
        self._read_model = read_model
        self._histories = histories
        self._is_sure = is_sure
        self._away_seconds_max = away_seconds_max
        self._away_since: float | None = None
        self._is_logged = False
        self._open: _Batch | None = None
        self._asking = asyncio.Lock()

    async def of(self, correlation_id: str, request_sequence: int | None, *, up_to: int) -> Found:
        """The payment's events, or that it has ended, complete up to the sequence `up_to` at least.

        Raises UnknownPaymentError, BrokerUnavailableError and ReadModelUnavailableError.
        """
        batch = self._open
        if batch is None or len(batch.requests) == BATCH_MAX:
            batch = self._open = _Batch()
            batch.finding = asyncio.create_task(self._find(batch))
            batch.finding.add_done_callback(_consume_result)
        asked = (batch.requests.get(correlation_id), request_sequence)
        batch.requests[correlation_id] = min((one for one in asked if one is not None), default=None)
        batch.up_to = max(batch.up_to, up_to)
        # A caller that is cancelled must not cancel the question of the others.
        found = (await asyncio.shield(batch.finding))[correlation_id]
        if isinstance(found, TollgateError):
            raise found
        return found

    async def _find(self, batch: _Batch) -> Mapping[str, Found | TollgateError]:
        async with self._asking:
            if self._open is batch:
                self._open = None
            known = await self._ask(batch)
        if known is None:
            return await self._read(batch)
        found = await asyncio.gather(
            *(self._found(one, sequence, known.payments.get(one)) for one, sequence in batch.requests.items())
        )
        return dict(zip(batch.requests, found, strict=True))

    async def _ask(self, batch: _Batch) -> Known | None:
        """The answer of the read model; None when it is away for too long. Raises BrokerUnavailableError."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                known = await self._read_model.known(
                    list(batch.requests), timeout_seconds=QUESTION_TIMEOUT_SECONDS, up_to=batch.up_to
                )
            except ReadModelUnavailableError as error:
                self._away_since = loop.time() if self._away_since is None else self._away_since
                if loop.time() - self._away_since > self._away_seconds_max:
                    self._log_once(error)
                    return None
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._away_since, self._is_logged = None, False
            if known.position < batch.up_to:
                raise BrokerUnavailableError(f"the read model answered as of {known.position}, not {batch.up_to}")
            if not self._is_sure():
                raise BrokerUnavailableError("the connection to the broker was lost during a question")
            return known

    async def _found(
        self, correlation_id: str, request_sequence: int | None, known: KnownPayment | None
    ) -> Found | TollgateError:
        try:
            # In both cases the request was purged, and the purge was not read here yet.
            if known is None:
                raise UnknownPaymentError(f"the read model has no payment {correlation_id}")
            if request_sequence is not None and known.request_sequence > request_sequence:
                raise UnknownPaymentError(f"{correlation_id} was requested again after a purge")
            if known.ended is not None:
                return Ended()
            if known.events is None:
                return await self._histories.of(correlation_id, known.request_sequence)
            return await self._histories.at(correlation_id, known.events) if known.events else History([])
        except TollgateError as error:
            return error

    async def _read(self, batch: _Batch) -> Mapping[str, Found | TollgateError]:
        """Finds the payments in the log; those whose request is not known have to wait for the read model."""
        requests = {one: sequence for one, sequence in batch.requests.items() if sequence is not None}
        found: dict[str, Found | TollgateError] = {
            one: ReadModelUnavailableError("the read model is away, and the payment's request is not known")
            for one in batch.requests
        }
        if requests:
            found.update(await self._histories.read_together(requests))
        return found

    def _log_once(self, error: ReadModelUnavailableError) -> None:
        if not self._is_logged:
            self._is_logged = True
            logger.warning("old payments are looked up in the log itself, which is slow: %s", error)


def _consume_result(finding: asyncio.Task[Mapping[str, Found | TollgateError]]) -> None:
    """Consumes the result, also if every caller was cancelled; asyncio would log it as never retrieved."""
    if not finding.cancelled():
        finding.exception()
