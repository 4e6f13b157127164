"""One payment's events, and what they say of how it stands."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contract.codec import decode
from contract.events import Event
from contract.message import part_of
from contract.standing import Ended, Open, Standing, Unrouted, advance, is_late
from contract.stream import REQUESTED
from runtime.broker import Broker
from runtime.errors import BrokerUnavailableError
from runtime.reader import LogMessage, LogReader

BATCH_MESSAGES_MAX = 1_000
READ_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class History:
    """What became of a payment: (sequence, event) in the log's order, all of them, without its request."""

    events: Sequence[tuple[int, Event]]
    late: frozenset[int] = frozenset()
    """Sequences of the intents that were stored too late to be sent."""

    @property
    def standing(self) -> Standing:
        """How it stands after the last of them."""
        standing: Standing = Unrouted()
        for sequence, event in self.events:
            standing = advance(standing, sequence, event)
        if isinstance(standing, Open) and standing.sequence in self.late:
            return replace(standing, is_late=True)
        return standing

    def did_count(self, sequence: int) -> bool:
        """Whether the event at `sequence` changed how the payment stands, or was void."""
        standing: Standing = Unrouted()
        for position, event in self.events:
            before, standing = standing, advance(standing, position, event)
            if position == sequence:
                return standing is not before
        return False

    def end(self) -> tuple[int, Event] | None:
        """The event that ended the payment; None while it goes on."""
        standing: Standing = Unrouted()
        for sequence, event in self.events:
            standing = advance(standing, sequence, event)
            if isinstance(standing, Ended):
                return sequence, event
        return None


async def read_history(broker: Broker, correlation_id: str, request_sequence: int) -> History:
    """The payment's events from its request on, up to the log's present end, read from the log itself.

    It reads all that was stored since, about 100,000 events a second. Raises BrokerUnavailableError.
    """
    last = (await broker.log_state(timeout_seconds=READ_TIMEOUT_SECONDS)).last_sequence
    events: list[tuple[int, Event]] = []
    late: set[int] = set()
    try:
        async with LogReader(broker, request_sequence) as reader, asyncio.timeout(READ_TIMEOUT_SECONDS):
            while True:
                for message in await reader.batch(BATCH_MESSAGES_MAX):
                    if (event := _event_of(message, correlation_id)) is not None:
                        events.append((message.sequence, event))
                        if is_late(event, message.stored_at_us):
                            late.add(message.sequence)
                    if message.sequence >= last:
                        return History(events, frozenset(late))
    except TimeoutError:
        raise BrokerUnavailableError(f"the log could not be read from {request_sequence} on in time") from None


def _event_of(message: LogMessage, correlation_id: str) -> Event | None:
    """The valid event of the payment in that message; what else is in it, whoever follows the log sets aside."""
    if message.subject == REQUESTED:
        return None
    event = part_of(message.subject, message.payload, correlation_id)
    return None if event is None else decode(event)
