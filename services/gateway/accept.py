"""Accepts a payment: stores its request in the log exactly once, or refuses it."""

import asyncio
import logging
from http import HTTPStatus

from tollgate.contract.codec import decode
from tollgate.contract.events import PaymentRequested
from tollgate.contract.money import format_cents
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.known_ids import KnownIds
from tollgate.gateway.problems import Problem, unavailable
from tollgate.gateway.request_writer import RequestWriter
from tollgate.gateway.requests import PaymentOrder
from tollgate.messaging.broker_clock import BrokerClock
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError, LogFullError
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

IN_FLIGHT_MAX = 4_096
"""Payments that wait for the broker at once, in one gateway; one more is answered 503."""
LOOKUP_TIMEOUT_SECONDS = 2.0


class Acceptance:
    """Writes the requests of new payments to the log, and recognises repeats."""

    def __init__(
        self,
        log: Log,
        read_model: ReadModel,
        dedup_index: DedupIndex,
        clock: BrokerClock,
        *,
        timeout_seconds: float,
    ) -> None:
        self._clock = clock
        self._log = log
        self._dedup_index = dedup_index
        self._known_ids = KnownIds(read_model, dedup_index, timeout_seconds=LOOKUP_TIMEOUT_SECONDS)
        self._writer = RequestWriter(log, dedup_index)
        self._timeout_seconds = timeout_seconds
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Payments that wait for their answer."""
        return self._in_flight

    async def accept(self, order: PaymentOrder) -> None:
        """Returns when the payment is durable, now or since an earlier request.

        Raises Problem: 409 when the id was used with another amount, 503 when it cannot be accepted now.
        """
        if self._in_flight >= IN_FLIGHT_MAX:
            raise unavailable("too many payments are waiting for the log")
        self._in_flight += 1
        try:
            if not self._dedup_index.is_current:
                await self._dedup_index.looked(timeout_seconds=self._timeout_seconds)
            if (fault := self._dedup_index.log_fault) is not None:
                # A repeat of a payment whose request is missing from the log would be charged again.
                raise unavailable(fault)
            if not self._dedup_index.is_current:
                raise unavailable("the gateway has not read the log yet, which tells new payments from repeats")
            known_cents = None
            if order.correlation_id in self._dedup_index:
                known_cents = await self._known_cents(order)
            if known_cents is None:
                known_cents = await self._store(order)
        finally:
            self._in_flight -= 1
        if known_cents != order.amount_cents:
            raise Problem(
                HTTPStatus.CONFLICT,
                f"payment {order.correlation_id} was requested before with amount {format_cents(known_cents)}",
            )

    async def _known_cents(self, order: PaymentOrder) -> int | None:
        """The amount of an earlier request; None if the payment, which may be a repeat, is new.

        When it returns None, no request of the payment was read so far, up to the dedup index's `last_sequence`.
        """
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS):
                return await self._looked_up_cents(order.correlation_id)
        except ReadModelUnavailableError as error:
            raise unavailable(f"the payment may be a repeat, and that cannot be checked now: {error}") from None
        except TimeoutError:
            raise unavailable("the payment may be a repeat, and that could not be checked in time") from None

    async def _looked_up_cents(self, correlation_id: str) -> int | None:
        """Requests after an answer's position are those that the dedup index has read; it has them exactly."""
        while True:
            sequence = self._dedup_index.sequence_of(correlation_id)
            if sequence is not None:
                requested = await self._requested_at(sequence, correlation_id)
                if requested is not None:
                    return requested.amount_cents
            known = await self._known_ids.ask(correlation_id)
            if known.position < self._dedup_index.recent_from:
                continue
            if (payment := known.payments.get(correlation_id)) is not None:
                return payment.amount_cents
            requested_since = self._dedup_index.sequence_of(correlation_id)
            # A message that has the id and is not valid stays in the dedup index, and requests nothing.
            if requested_since in (None, sequence) or requested_since <= known.position:
                return None

    async def _requested_at(self, sequence: int, correlation_id: str) -> PaymentRequested | None:
        deadline = asyncio.get_running_loop().time() + LOOKUP_TIMEOUT_SECONDS
        try:
            stored = await self._log.event_of(correlation_id, sequence, deadline=deadline)
        except BrokerUnavailableError:
            raise unavailable("the payment may be a repeat, and the log cannot be read now") from None
        event = None if stored is None else decode(stored)
        return event if isinstance(event, PaymentRequested) else None

    async def _store(self, order: PaymentOrder) -> int:
        """The amount under which the payment is in the log."""
        request = PaymentRequested(order.correlation_id, order.amount_cents, self._clock.now_us())
        try:
            return await self._writer.store(request, timeout_seconds=self._timeout_seconds)
        except LogFullError as error:
            logger.error("the log refuses payments: %s", error, extra=about(event="log_refuses", reason=str(error)))
            raise unavailable("the log accepts no payments now") from None
        except BrokerError:
            raise unavailable("the log did not acknowledge the payment in time; send it again") from None
