"""Queries the read model, over NATS request/reply."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import nats.errors

from tollgate.contract.known_filter import (
    KNOWN_FILTER,
    FilterPart,
    PartQuestion,
    decode_part,
    encode_part_question,
)
from tollgate.contract.known_ids import KNOWN, Known, KnownQuestion, decode_known, encode_known_question
from tollgate.contract.projector_presence import INSTANCE_HEADER
from tollgate.contract.read_model_api import (
    ACCEPT_DIFFERENCES,
    ADOPT,
    CHARGING,
    PAYMENT,
    SNAPSHOT,
    STATUS,
    SUMMARY,
    Charging,
    PaymentView,
    Snapshot,
    Status,
    Summary,
    SummaryQuestion,
    decode_charging,
    decode_payment,
    decode_snapshot,
    decode_status,
    decode_summary,
    encode_question,
)
from tollgate.messaging.connection import TRANSIENT_ERRORS, Broker
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError, TollgateError

ERROR_CODE_HEADER = "Nats-Service-Error-Code"
ERROR_HEADER = "Nats-Service-Error"
_BAD_QUESTION = "400"


class ReadModelUnavailableError(TollgateError):
    """The projector did not answer inside the bound; the text is the reason."""


class QuestionRefusedError(TollgateError):
    """The read model cannot answer this query, now or later; the text is the reason."""


class ReadModel:
    """The queries that the read model answers."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def summary(self, question: SummaryQuestion, *, timeout_seconds: float) -> Summary:
        """The totals of a window, as of this call. Raises ReadModelUnavailableError, QuestionRefusedError."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        if not question.is_of_the_past:
            question = await self._as_of_now(question, timeout_seconds)
        left_seconds = max(deadline - loop.time(), 0)
        return decode_summary(await self._ask(SUMMARY, encode_question(question), left_seconds))

    async def payment(self, correlation_id: str, *, timeout_seconds: float) -> PaymentView | None:
        """The payment as of the log's present end; None if there is none. Raises ReadModelUnavailableError."""
        return decode_payment(await self._ask(PAYMENT, correlation_id.encode(), timeout_seconds))

    async def known(self, correlation_ids: Sequence[str], *, timeout_seconds: float, up_to: int | None = None) -> Known:
        """Which of these payments the read model has; at most KNOWN_IDS_MAX ids (contract/known_ids.py).

        Complete up to the sequence `up_to`, or up to the log's present end. Raises ReadModelUnavailableError.
        """
        question = encode_known_question(KnownQuestion(correlation_ids, up_to))
        return decode_known(await self._ask(KNOWN, question, timeout_seconds))

    async def known_filter_part(self, question: PartQuestion, *, timeout_seconds: float) -> FilterPart:
        """A part of the filter of all ids. Raises ReadModelUnavailableError, QuestionRefusedError, ValueError."""
        return decode_part(await self._ask(KNOWN_FILTER, encode_part_question(question), timeout_seconds))

    async def charging(self, *, timeout_seconds: float) -> Charging:
        """The state of charging as of the log's present end. Raises ReadModelUnavailableError."""
        return decode_charging(await self._ask(CHARGING, b"", timeout_seconds))

    async def status(self, *, timeout_seconds: float) -> Status:
        """The projector's status, without waiting for it to catch up. Raises ReadModelUnavailableError."""
        return decode_status(await self._ask(STATUS, b"", timeout_seconds))

    async def snapshot(self, *, timeout_seconds: float, instance: str | None = None) -> Snapshot:
        """Makes the projector copy the read model as of the log's present end. Raises ReadModelUnavailableError.

        `instance` is that of the projector whose files are meant; None where there is only one.
        """
        return decode_snapshot(await self._ask(SNAPSHOT, b"", timeout_seconds, instance))

    async def adopt(
        self, *, accepts_differences: bool, timeout_seconds: float, instance: str | None = None
    ) -> bytes | None:
        """Has the projector put its rebuilt file in place; the encoded comparison, or None when no projector answers.

        Raises QuestionRefusedError when it refuses, and BrokerUnavailableError when it may have done it all the same.
        """
        request = ACCEPT_DIFFERENCES if accepts_differences else b""
        try:
            reply = await self._broker.ask(
                ADOPT, request, timeout_seconds=timeout_seconds, headers=_addressed(instance)
            )
        except nats.errors.NoRespondersError:
            return None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise BrokerUnavailableError(str(error)) from None
        if reply.headers and ERROR_CODE_HEADER in reply.headers:
            raise QuestionRefusedError(str(reply.headers.get(ERROR_HEADER)))
        comparison: bytes = reply.data
        return comparison

    async def _as_of_now(self, question: SummaryQuestion, timeout_seconds: float) -> SummaryQuestion:
        """Adds the present time and the log's end: the query may reach a projector that waits for CPU much later."""
        asked_at_us = self._broker.clock.now_us()
        self._check_connection()
        try:
            log = await self._broker.log_state(timeout_seconds=timeout_seconds)
        except BrokerError:
            raise ReadModelUnavailableError("the broker did not answer where the log ends") from None
        return replace(question, asked_at_us=asked_at_us, log_end=log.last_sequence)

    def _check_connection(self) -> None:
        if not self._broker.is_connected:
            raise ReadModelUnavailableError("the broker is away")

    async def _ask(self, subject: str, question: bytes, timeout_seconds: float, instance: str | None = None) -> bytes:
        self._check_connection()
        try:
            reply = await self._broker.ask(
                subject, question, timeout_seconds=timeout_seconds, headers=_addressed(instance)
            )
        except nats.errors.NoRespondersError:
            raise ReadModelUnavailableError("the projector is away") from None
        except TRANSIENT_ERRORS:
            raise ReadModelUnavailableError("the projector did not answer in time") from None
        if reply.headers and ERROR_CODE_HEADER in reply.headers:
            if reply.headers[ERROR_CODE_HEADER] == _BAD_QUESTION:
                raise QuestionRefusedError(reply.headers.get(ERROR_HEADER, "the question is refused"))
            raise ReadModelUnavailableError(reply.headers.get(ERROR_HEADER, "the projector cannot answer"))
        answer: bytes = reply.data
        return answer


def _addressed(instance: str | None) -> dict[str, str] | None:
    return None if instance is None else {INSTANCE_HEADER: instance}
