"""`tollgate log`: the events of the log as lines that a person reads, or as JSON."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import orjson

from tollgate.archive.whole_log import WholeLog, whole_log
from tollgate.contract.batch import Malformed, events_in, split
from tollgate.contract.events import (
    Event,
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.money import format_cents
from tollgate.contract.timestamps import format_us
from tollgate.messaging.history import REQUEST_SECONDS
from tollgate.messaging.log_reader import LogReader
from tollgate.messaging.operator_command import BrokerSettings, broker_for_command
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.messaging.stored_message import StoredMessage

BATCH_MESSAGES_MAX = 1_000
ANSWER_SECONDS = 5.0
LAST_EVENTS = 20
"""How many events are shown by default."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which events. The bounds of the time of storing are inclusive; `count` takes the first in bounds, or the last."""

    correlation_id: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    from_sequence: int | None = None
    count: int | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a message, in the form of a message, with its event; or a message that is not valid."""

    message: StoredMessage
    found: Event | Malformed


async def show_log(address: BrokerSettings, choice: Choice, *, as_json: bool, archive_dir: Path | None = None) -> int:
    """Prints the events until there are no more, or for ever. Returns the exit status."""
    show = as_json_line if as_json else as_line
    async with broker_for_command(address) as broker:
        async for entry in _chosen(await whole_log(broker, archive_dir), choice):
            click.echo(show(entry))
    return 0


def as_line(entry: Entry) -> str:
    """Sequence, time of storing, type, payment, and the details of the type."""
    event = entry.found
    head = f"{entry.message.sequence:>9}  {format_us(entry.message.stored_at_us)}"
    if isinstance(event, Malformed):
        return f"{head}  not valid: {event.why}"
    who = "" if isinstance(event, LedgerPurged) else f"  {event.correlation_id}"
    return f"{head}  {type(event).__name__:<16}{who}  {_particulars(event)}"


def as_json_line(entry: Entry) -> str:
    """The event as stored, with sequence and time; `setAside` is the reason why readers set the message aside."""
    message = entry.message
    try:
        event = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        event = message.payload.decode(errors="replace")
    return orjson.dumps(
        {
            "sequence": message.sequence,
            "storedAt": format_us(message.stored_at_us),
            "subject": message.subject,
            "event": event,
            **({"setAside": entry.found.why} if isinstance(entry.found, Malformed) else {}),
        }
    ).decode()


def _particulars(event: Event) -> str:
    match event:
        case PaymentRequested():
            return format_cents(event.amount_cents)
        case PaymentRouted():
            return f"{_charge(event)}: {event.why}"
        case PaymentInDoubt() | PaymentReleased():
            return f"attempt {event.attempt} at {event.provider}: {event.why}"
        case PaymentProcessed():
            return _charge(event)
        case PaymentRejected():
            return f"{format_cents(event.amount_cents)}  {event.reason}"
        case LedgerPurged():
            return f"by {event.who}: everything before is void"


def _charge(event: PaymentRouted | PaymentProcessed) -> str:
    stamp = format_us(event.requested_at_us)
    return f"{format_cents(event.amount_cents)}  attempt {event.attempt} at {event.provider}, {stamp}"


async def _chosen(whole: WholeLog, choice: Choice) -> AsyncIterator[Entry]:
    log = await whole.broker.log_state(timeout_seconds=REQUEST_SECONDS)
    past = (
        _of_payment(whole, choice.correlation_id, log.last_sequence)
        if choice.correlation_id
        else _range(whole, choice, log.last_sequence)
    )
    async for entry in past:
        yield entry
    if choice.follow:
        async with LogReader(whole.broker, log.last_sequence + 1) as reader:
            while True:
                for one in await reader.batch(BATCH_MESSAGES_MAX):
                    message = StoredMessage(one.sequence, one.subject, one.payload, one.stored_at_us)
                    for entry in _entries_of(message, choice.correlation_id):
                        yield entry


async def _range(whole: WholeLog, choice: Choice, last_sequence: int) -> AsyncIterator[Entry]:
    if choice.from_us is None and choice.from_sequence is None and choice.to_us is None:
        # Each message holds an event at least, so the last n events are within the last n messages.
        count = choice.count or LAST_EVENTS
        first = max(last_sequence - count + 1, 1)
        for entry in deque([one async for one in _entries_between(whole, first, last_sequence)], maxlen=count):
            yield entry
        return
    first = choice.from_sequence or 1
    if choice.from_us is not None:
        first = max(first, await whole.sequence_at(choice.from_us))
    if choice.to_us is not None:
        last_sequence = min(last_sequence, await whole.sequence_at(choice.to_us + 1) - 1)
    if choice.count is not None:
        last_sequence = min(last_sequence, first + choice.count - 1)
    shown = 0
    async for entry in _entries_between(whole, first, last_sequence):
        if shown == choice.count:
            return
        shown += 1
        yield entry


async def _entries_between(whole: WholeLog, first: int, last: int) -> AsyncIterator[Entry]:
    async for messages in whole.stretch(first, last):
        for message in messages:
            for entry in _entries_of(message, None):
                yield entry


async def _of_payment(whole: WholeLog, correlation_id: str, last_sequence: int) -> AsyncIterator[Entry]:
    """The events of a payment: at the sequences from the read model; without it the whole log is read."""
    try:
        view = await ReadModel(whole.broker).payment(correlation_id, timeout_seconds=ANSWER_SECONDS)
    except ReadModelUnavailableError as error:
        click.echo(f"{error}: reading the whole log", err=True)
        async for messages in whole.stretch(1, last_sequence):
            for one in messages:
                for entry in _entries_of(one, correlation_id):
                    yield entry
        return
    for sequence in view.sequences if view else ():
        message = await whole.message_at(sequence)
        if message is not None and sequence <= last_sequence:
            for entry in _entries_of(message, correlation_id):
                yield entry


def _entries_of(message: StoredMessage, correlation_id: str | None) -> list[Entry]:
    """The events of the message; with `correlation_id`, only those of that payment."""
    events = events_in(message.subject, message.payload)
    if isinstance(events, Malformed):
        return [Entry(message, events)] if correlation_id is None else []
    return [
        Entry(replace(message, payload=part), event)
        for part, event in zip(split(message.payload), events, strict=True)
        if correlation_id is None or _is_of(event, correlation_id)
    ]


def _is_of(event: Event, correlation_id: str) -> bool:
    return not isinstance(event, LedgerPurged) and event.correlation_id == correlation_id
