"""The question which payments of a batch the read model has: subject, question, answer and their encoding. Pure.

Gateways ask it for ids that may be repeats, processors for payments that they no longer hold in memory. One question
has up to KNOWN_IDS_MAX ids, so that a group of requests costs one round trip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import orjson

from tollgate.contract.events import PROVIDERS, ProviderName

KNOWN = "projector.known"
KNOWN_IDS_MAX = 512
"""Ids in one question: it is then under 21 KB, and its answer under 96 KB. The broker takes messages of 128 KB."""
KNOWN_EVENTS_MAX = 4
"""Sequences in the answer for one payment; those of a payment with more have to be asked for (`projector.payment`)."""

EndedHow = Literal["processed", "rejected"]


@dataclass(frozen=True, slots=True)
class KnownQuestion:
    """`correlation_ids` are in lower case, KNOWN_IDS_MAX at most.

    The answer is complete up to the sequence `up_to`; None stands for the log's end when the question arrives. An asker
    that has itself read the requests after `up_to` gets its answer without a wait for the read model.
    """

    correlation_ids: Sequence[str]
    up_to: int | None = None


@dataclass(frozen=True, slots=True)
class KnownPayment:
    """A payment that the read model has. `ended`, `end_sequence` are None while it has not ended.

    `request_sequence` is that of its first event, and `end_sequence` that of its last. `provider` is set if it was
    processed. `events` are the sequences of its other events while it has not ended; None if those are more than
    KNOWN_EVENTS_MAX.
    """

    request_sequence: int
    amount_cents: int
    ended: EndedHow | None = None
    end_sequence: int | None = None
    provider: ProviderName | None = None
    events: Sequence[int] | None = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The payments that the read model has of the ids asked for. An id that is missing here was not requested up to
    `position`, or only before the last purge."""

    position: int
    payments: Mapping[str, KnownPayment]


def encode_known_question(question: KnownQuestion) -> bytes:
    """Raises ValueError for more than KNOWN_IDS_MAX ids."""
    if len(question.correlation_ids) > KNOWN_IDS_MAX:
        raise ValueError(f"{len(question.correlation_ids)} ids in one question; at most {KNOWN_IDS_MAX}")
    return orjson.dumps({"upTo": question.up_to, "ids": list(question.correlation_ids)})


def decode_known_question(payload: bytes) -> KnownQuestion:
    """Raises ValueError for anything that `encode_known_question` does not write."""
    match orjson.loads(payload):
        case {"ids": list(ids), "upTo": None | int() as up_to} if not isinstance(up_to, bool):
            if len(ids) > KNOWN_IDS_MAX:
                raise ValueError(f"{len(ids)} ids in one question; at most {KNOWN_IDS_MAX}")
            return KnownQuestion([_id(one) for one in ids], up_to)
        case _:
            raise ValueError(f"not a KnownQuestion: {payload[:80]!r}")


def encode_known(known: Known) -> bytes:
    payments = {
        correlation_id: [
            *(one.request_sequence, one.amount_cents),
            *(one.ended, one.end_sequence, one.provider, one.events),
        ]
        for correlation_id, one in known.payments.items()
    }
    return orjson.dumps({"position": known.position, "payments": payments})


def decode_known(payload: bytes) -> Known:
    """Raises ValueError for anything that `encode_known` did not write."""
    match orjson.loads(payload):
        case {"position": int(position), "payments": dict(payments)}:
            return Known(position, {one: _payment(fields) for one, fields in payments.items()})
        case _:
            raise ValueError(f"not an answer about known ids: {payload[:80]!r}")


def _id(value: Any) -> str:
    if not isinstance(value, str) or str(UUID(value)) != value:
        raise ValueError(f"not a correlationId in lower case: {str(value)[:80]!r}")
    return value


def _payment(fields: Any) -> KnownPayment:
    match fields:
        case [int(sequence), int(cents), None, None, None, events, *_]:
            return KnownPayment(sequence, cents, events=None if events is None else tuple(map(int, events)))
        case [int(sequence), int(cents), "processed", int(end), provider, *_] if provider in PROVIDERS:
            return KnownPayment(sequence, cents, "processed", end, provider)
        case [int(sequence), int(cents), "rejected", int(end), *_]:
            return KnownPayment(sequence, cents, "rejected", end)
        case _:
            raise ValueError(f"not a known payment: {fields!r}")
