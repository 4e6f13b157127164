"""Finds the events of one payment in the log, however long the log is."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tollgate.contract.batch import Malformed, events_in, part_of
from tollgate.contract.codec import decode
from tollgate.contract.events import Event, LedgerPurged, PaymentRequested
from tollgate.contract.payment_state import is_late
from tollgate.contract.read_model_api import SEQUENCES_MAX, PaymentView
from tollgate.contract.subjects import PURGED, REQUESTED, SUBJECTS
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import message_at
from tollgate.messaging.log_reader import LogMessage, LogReader
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.processor.charging.history import History
from tollgate.runtime.errors import BrokerUnavailableError, TollgateError

QUESTION_TIMEOUT_SECONDS = 5.0
BATCH_MESSAGES_MAX = 1_000
READ_TIMEOUT_SECONDS = 60.0
QUESTIONS_MAX = 16
"""Payments that are asked for at once; the next waits. The read model answers 64 questions at once, of everybody."""
READINGS_MAX = 2
"""Readings of the log at once. Each reads as much as the broker gives it."""
_OUTCOMES = tuple(subject for subject in SUBJECTS if subject != REQUESTED)


class UnknownPaymentError(TollgateError):
    """The log has no request for this payment."""


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A payment's first request in the log."""

    request: PaymentRequested
    sequence: int
    stored_at_us: int


class Histories:
    """The histories of payments: the read model has the sequences of a payment's events, the log has the events.

    Where the read model has dropped some of the sequences, or is unavailable, the log is read from the payment's
    request on, if the request's sequence is known: about 100,000 events a second.
    """

    def __init__(self, broker: Broker, read_model: ReadModel) -> None:
        self._broker = broker
        self._read_model = read_model
        self._questions = asyncio.Semaphore(QUESTIONS_MAX)
        self._readings = asyncio.Semaphore(READINGS_MAX)

    async def of(self, correlation_id: str, request_sequence: int | None = None) -> History:
        """All events of the payment that the log holds at the moment of this call.

        Raises UnknownPaymentError, BrokerUnavailableError and ReadModelUnavailableError.
        """
        try:
            async with self._questions:
                view = await self._view(correlation_id)
                if len(view.sequences) < SEQUENCES_MAX:
                    return await self._at(correlation_id, view.sequences[1:])
                request_sequence = view.request_sequence
        except (ReadModelUnavailableError, UnknownPaymentError):
            if request_sequence is None:
                raise
        async with self._readings:
            return await self._read(correlation_id, request_sequence)

    async def at(self, correlation_id: str, sequences: Sequence[int]) -> History:
        """The payment's events at these sequences, which are all it has but its request.

        Raises BrokerUnavailableError.
        """
        async with self._questions:
            return await self._at(correlation_id, sequences)

    async def read_together(self, requests: Mapping[str, int]) -> dict[str, History]:
        """All events of these payments that the log holds at the moment of this call, by one reading of the log.

        `requests` has the sequences of their requests; the reading begins at the first of them. Raises
        BrokerUnavailableError.
        """
        async with self._readings:
            return await self._read_together(requests)

    async def _at(self, correlation_id: str, sequences: Sequence[int]) -> History:
        found = await asyncio.gather(*(self._event(correlation_id, one) for one in sequences))
        events = [(sequence, event) for sequence, (event, _) in zip(sequences, found, strict=True)]
        late = {sequence for sequence, (event, at_us) in zip(sequences, found, strict=True) if is_late(event, at_us)}
        return History(events, frozenset(late))

    async def request_of(self, correlation_id: str) -> StoredRequest:
        """The payment's request. Raises as `of` does."""
        sequence = (await self._view(correlation_id)).request_sequence
        event, stored_at_us = await self._event(correlation_id, sequence)
        if not isinstance(event, PaymentRequested):
            raise UnknownPaymentError(f"message {sequence} of the log is no request for {correlation_id}")
        return StoredRequest(event, sequence, stored_at_us)

    async def _view(self, correlation_id: str) -> PaymentView:
        view = await self._read_model.payment(correlation_id, timeout_seconds=QUESTION_TIMEOUT_SECONDS)
        if view is None:
            raise UnknownPaymentError(f"no payment {correlation_id} was requested")
        return view

    async def _event(self, correlation_id: str, sequence: int) -> tuple[Event, int]:
        """The payment's event at that sequence, and when the broker stored it."""
        message = await message_at(self._broker, sequence)
        event = None if message is None else part_of(message.subject, message.payload, correlation_id)
        if message is None or event is None:
            raise BrokerUnavailableError(f"message {sequence} of the log has no event of {correlation_id}")
        return decode(event), message.stored_at_us

    async def _read(self, correlation_id: str, request_sequence: int) -> History:
        """Reads everything stored since the request, up to the log's present end."""
        return (await self._read_together({correlation_id: request_sequence}))[correlation_id]

    async def _read_together(self, requests: Mapping[str, int]) -> dict[str, History]:
        first = min(requests.values())
        begin = (await self._broker.log_state(timeout_seconds=READ_TIMEOUT_SECONDS)).first_sequence
        if begin > first:
            raise BrokerUnavailableError(f"the log begins at {begin}, after the request at {first}")
        found: dict[str, dict[int, Event]] = {one: {} for one in requests}
        late: set[int] = set()
        try:
            async with (
                LogReader(self._broker, first, subjects=_OUTCOMES) as reader,
                asyncio.timeout(READ_TIMEOUT_SECONDS),
            ):
                async for messages in reader.to_the_end(BATCH_MESSAGES_MAX):
                    for message in messages:
                        _collect(message, found, late)
        except TimeoutError:
            raise BrokerUnavailableError(f"the log could not be read from {first} on in time") from None
        return {one: History(list(events.items()), frozenset(late & events.keys())) for one, events in found.items()}


def _collect(message: LogMessage, found: dict[str, dict[int, Event]], late: set[int]) -> None:
    """Adds the valid events of these payments. Poison is counted by the readers of the whole log."""
    # Searching for the id first avoids decoding most messages.
    if len(found) == 1 and message.subject != PURGED and next(iter(found)).encode() not in message.payload:
        return
    events = events_in(message.subject, message.payload)
    for event in () if isinstance(events, Malformed) else events:
        if isinstance(event, LedgerPurged):
            for earlier in found.values():
                earlier.clear()
        elif event.correlation_id in found:
            found[event.correlation_id][message.sequence] = event
            if is_late(event, message.stored_at_us):
                late.add(message.sequence)
