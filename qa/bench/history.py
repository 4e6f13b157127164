"""Writes payments to a log as fast as the broker stores them."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from nats.aio.client import Client

from tollgate.contract.batch import join
from tollgate.contract.codec import encode
from tollgate.contract.events import (
    PROVIDERS,
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.subjects import subject_of
from tollgate.contract.timestamps import now_us

BEGIN_US = 1_700_000_000_000_000
TOGETHER = 8
"""Events in one message: about as many as from a gateway or a processor at some hundred payments a second."""
_BARRIER_MESSAGES = 2_000
"""Messages between awaited acknowledgements: the broker silently drops what it cannot store fast enough."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: `charged_cents` is the sum over both providers."""

    messages: int
    events: int
    charged: int
    charged_cents: int


def histories(
    payments: int, *, per_second: int = 500, seed: int = 1, begin_us: int = BEGIN_US
) -> Iterator[list[Event]]:
    """The events of each payment: most are charged at the first attempt, one in fifty is not."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    step_us = 1_000_000 // per_second
    for number in range(payments):
        at_us = begin_us + number * step_us
        name = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        amount_cents = rng.randint(1, 100_000)
        provider = PROVIDERS[rng.random() < 0.2]
        events: list[Event] = [
            # Stored when accepted; only the stamps have other times.
            PaymentRequested(name, amount_cents, now_us()),
            PaymentRouted(name, amount_cents, 1, provider, at_us + 300, "cheapest"),
        ]
        chance = rng.random()
        attempt = 1
        if chance < 0.01:
            events.append(PaymentInDoubt(name, 1, provider, "timeout"))
        elif chance < 0.02:
            attempt = 2
            events.append(PaymentReleased(name, 1, provider, "connection refused"))
            events.append(PaymentRouted(name, amount_cents, 2, provider, at_us + 600, "again"))
        if 0.02 <= chance < 0.022:
            events.append(PaymentRejected(name, amount_cents, "refused with 400"))
        else:
            stamp_us = at_us + 300 * attempt
            events.append(PaymentProcessed(name, amount_cents, attempt, provider, stamp_us, stamp_us + 900))
        yield events


async def write(
    client: Client, payments: Iterator[list[Event]], *, at_once: int = 200, together: int = TOGETHER
) -> Written:
    """Publishes them, `at_once` payments interleaved event by event; when it returns, all of them are in the log.

    `together` is how many events of plain payments share a message. Only some acknowledgements are awaited;
    each stands for all messages before it.
    """
    messages = events = charged = charged_cents = 0
    held: list[Event] = []
    for messages, message in enumerate(_messages(payments, at_once, together), start=1):
        if held:
            await _send(client, held, is_acknowledged=messages % _BARRIER_MESSAGES == 0)
        held = message
        events += len(message)
        for event in message:
            if isinstance(event, PaymentProcessed):
                charged += 1
                charged_cents += event.amount_cents
    if held:
        await _send(client, held, is_acknowledged=True)
    return Written(messages, events, charged, charged_cents)


def _messages(payments: Iterator[list[Event]], at_once: int, together: int) -> Iterator[list[Event]]:
    while block := list(islice(payments, at_once)):
        for turn in range(max(map(len, block))):
            by_subject: dict[str, list[Event]] = {}
            for event in (payment[turn] for payment in block if turn < len(payment)):
                if not isinstance(event, PaymentRequested | PaymentRouted | PaymentProcessed):
                    yield [event]
                    continue
                group = by_subject.setdefault(subject_of(event), [])
                group.append(event)
                if len(group) == together:
                    yield by_subject.pop(subject_of(event))
            yield from by_subject.values()


async def _send(client: Client, events: list[Event], *, is_acknowledged: bool) -> None:
    send = partial(client.request, timeout=60) if is_acknowledged else client.publish
    await send(subject_of(events[0]), join(encode(event) for event in events))
