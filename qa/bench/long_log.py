"""Writes a log of many payments that have ended, in full messages: some ten times faster than `history.write`.

Almost all payments are plain: requested, routed once, processed. Of every twentieth block the payments are those of
`history.histories`, with doubts, releases and rejections. The id of the n-th payment is a function of n (`id_of`).
"""

import random
from collections.abc import Iterator
from hashlib import blake2b

from nats.aio.client import Client

from qa.bench.history import BEGIN_US, histories, write
from tollgate.contract.batch import EVENTS_MAX
from tollgate.contract.subjects import REQUESTED
from tollgate.contract.timestamps import MICROSECONDS, format_us, now_us

BLOCK = 5 * EVENTS_MAX
"""Payments that are requested, routed and processed together: four full messages at default, one at fallback."""
ODD_BLOCKS = 20
"""One block in so many is written by `history.write`."""
PER_SECOND = 500
_BARRIER_MESSAGES = 600
"""Messages between awaited acknowledgements, some 4 MB: the broker drops what it cannot store fast enough."""
AMOUNT_CENTS = 1_990
"""Of each payment that waits."""
_STEP_US = MICROSECONDS // PER_SECOND
_WAITING_FROM = 10**15

Message = tuple[str, bytes]


def id_of(number: int) -> str:
    """The id of a plain payment."""
    digits = blake2b(number.to_bytes(8, "little"), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_plain(number: int) -> bool:
    """Whether the payment's id is `id_of(number)`."""
    return number // BLOCK % ODD_BLOCKS != 0


async def extend(client: Client, first: int, end: int) -> None:
    """Writes the payments from `first` up to `end`, both multiples of BLOCK; all are in the log when it returns."""
    unacknowledged = 0
    for begin in range(first, end, BLOCK):
        if not is_plain(begin):
            await write(client, histories(BLOCK, seed=begin, begin_us=BEGIN_US + begin * _STEP_US))
            unacknowledged = 0
            continue
        for subject, payload in _plain_block(begin):
            unacknowledged += 1
            if unacknowledged == _BARRIER_MESSAGES:
                await client.request(subject, payload, timeout=60)
                unacknowledged = 0
            else:
                await client.publish(subject, payload)
    # A block of one more payment: its acknowledgement stands for all messages before it.
    await write(client, histories(1, seed=-end - 1, begin_us=BEGIN_US + end * _STEP_US))


def _plain_block(begin: int) -> Iterator[Message]:
    """The messages of a block, as `encode` and `join` write them."""
    accepted = format_us(now_us())
    draw = random.Random(begin).random  # noqa: S311 - repeatable, and no secret
    requested, routed, processed = [], [], []
    for number in range(begin, begin + BLOCK):
        provider = "fallback" if number - begin >= BLOCK - EVENTS_MAX else "default"
        head = f'"version":1,"correlationId":"{id_of(number)}","amountCents":{int(draw() * 100_000) + 1}'
        stamp_us = BEGIN_US + number * _STEP_US
        attempt = f'{head},"attempt":1,"processor":"{provider}","requestedAt":"{format_us(stamp_us)}"'
        requested.append(f'{{"type":"PaymentRequested",{head},"acceptedAt":"{accepted}"}}')
        routed.append(f'{{"type":"PaymentRouted",{attempt},"why":"cheapest"}}')
        processed.append(f'{{"type":"PaymentProcessed",{attempt},"processedAt":"{format_us(stamp_us + 900)}"}}')
    yield from _messages(requested, REQUESTED, REQUESTED)
    yield from _messages(routed, "payments.routed.default", "payments.routed.fallback")
    yield from _messages(processed, "payments.processed.default", "payments.processed.fallback")


def _messages(lines: list[str], subject: str, last_subject: str) -> Iterator[Message]:
    for first in range(0, BLOCK, EVENTS_MAX):
        is_last = first + EVENTS_MAX == BLOCK
        yield last_subject if is_last else subject, "\n".join(lines[first : first + EVENTS_MAX]).encode()


async def extend_with_waiting(client: Client, first: int, end: int) -> None:
    """Requests the payments with the `waiting_id`s from `first` up to `end`, both multiples of EVENTS_MAX.

    Nothing is done with them.
    """
    accepted, unacknowledged = format_us(now_us()), 0
    for begin in range(first, end, EVENTS_MAX):
        payload = "\n".join(
            f'{{"type":"PaymentRequested","version":1,"correlationId":"{waiting_id(number)}","amountCents":{AMOUNT_CENTS}'
            f',"acceptedAt":"{accepted}"}}'
            for number in range(begin, begin + EVENTS_MAX)
        ).encode()
        unacknowledged += 1
        if unacknowledged == _BARRIER_MESSAGES or begin + EVENTS_MAX == end:
            await client.request(REQUESTED, payload, timeout=60)
            unacknowledged, accepted = 0, format_us(now_us())
        else:
            await client.publish(REQUESTED, payload)


def waiting_id(number: int) -> str:
    """The id of a payment of `extend_with_waiting`."""
    return id_of(_WAITING_FROM + number)
