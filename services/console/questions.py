"""The questions that a person asks on the page: a payment by its id, and the summary of a window."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from uuid import UUID

from tollgate.console.errors import UnanswerableError
from tollgate.console.timeline import Entry, render_payment, render_summary
from tollgate.contract.codec import decode
from tollgate.contract.read_model_api import PaymentView, SummaryQuestion
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import QuestionRefusedError, ReadModel, ReadModelUnavailableError
from tollgate.runtime.errors import BrokerError

ANSWER_SECONDS_MAX = 4.0
AT_ONCE_MAX = 4
"""Questions that are answered at the same time, over all pages; further ones wait."""
_DIGITS_MAX = 15


class Questions:
    """Answers as JSON. Each raises UnanswerableError."""

    def __init__(self, log: Log, read_model: ReadModel) -> None:
        self._log = log
        self._read_model = read_model
        self._places = asyncio.Semaphore(AT_ONCE_MAX)

    async def payment(self, text: str) -> bytes:
        """The payment and its timeline."""
        try:
            correlation_id = str(UUID(text))
        except ValueError:
            raise UnanswerableError(HTTPStatus.BAD_REQUEST, "this is no payment id: it must be a UUID") from None
        async with self._places:
            try:
                view = await self._read_model.payment(correlation_id, timeout_seconds=ANSWER_SECONDS_MAX)
                if view is None:
                    raise UnanswerableError(HTTPStatus.NOT_FOUND, f"no payment {correlation_id} was requested")
                return render_payment(view, await self._events(view))
            except (ReadModelUnavailableError, BrokerError) as error:
                raise _unavailable(error) from None

    async def summary(self, query: Mapping[str, str]) -> bytes:
        """The totals of the window `from` to `to`, as of `as_of`: milliseconds since the epoch, each optional."""
        as_of_us = _moment_us(query, "as_of")
        question = SummaryQuestion(_moment_us(query, "from"), _moment_us(query, "to"), as_of_us=as_of_us)
        async with self._places:
            try:
                summary = await self._read_model.summary(question, timeout_seconds=ANSWER_SECONDS_MAX)
            except ReadModelUnavailableError as error:
                raise _unavailable(error) from None
            except QuestionRefusedError as error:
                raise UnanswerableError(HTTPStatus.BAD_REQUEST, str(error)) from None
        return render_summary(summary, is_of_the_past=question.is_of_the_past)

    async def _events(self, view: PaymentView) -> list[Entry]:
        deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS_MAX
        stored = await self._log.stored_events_of(view.correlation_id, view.sequences, deadline=deadline)
        # They are valid events only.
        return [Entry(one.sequence, one.stored_at_us, decode(one.payload)) for one in stored]


def _moment_us(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise UnanswerableError(HTTPStatus.BAD_REQUEST, f"{name} must be milliseconds since 1970")
    return int(text) * 1_000


def _unavailable(error: Exception) -> UnanswerableError:
    return UnanswerableError(HTTPStatus.SERVICE_UNAVAILABLE, f"this cannot be shown now: {error}")
