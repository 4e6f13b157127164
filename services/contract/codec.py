"""Encodes events as JSON, readable in `nats stream view`, and decodes them.

Field names are those of `schemas/*.json`. A reader ignores unknown fields and refuses unknown versions, because a newer
version may have changed a meaning. Older versions stay readable (contract/upcasting.py).
"""

import re
from collections.abc import Callable
from typing import Any, cast

import orjson

from tollgate.contract.errors import TollgateError
from tollgate.contract.events import (
    PROVIDERS,
    Event,
    LedgerPurged,
    ManualResolution,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
    ProviderName,
)
from tollgate.contract.timestamps import InvalidTimestampError, format_us, parse_us
from tollgate.contract.upcasting import PRESENT_VERSION, UnreadableVersionError, upcast

VERSION = PRESENT_VERSION
"""The version that is written, and the newest that can be read. Older ones are upcast."""
NUMBER_MAX = 2**63 - 1
ATTEMPT_MAX = 2**31 - 1
"""What the read model's columns hold. A larger number would end every projector that reads it."""


class MalformedEventError(TollgateError, ValueError):
    """The message is not an event of this contract; the text is the reason."""


def encode(event: Event) -> bytes:
    """The event as JSON."""
    return orjson.dumps({"type": type(event).__name__, "version": VERSION, **_ENCODERS[type(event)](event)})


def decode(payload: bytes) -> Event:
    """The event in a message's payload. Raises MalformedEventError."""
    try:
        fields = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise MalformedEventError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise MalformedEventError("not a JSON object")
    version, kind = fields.get("version"), fields.get("type")
    # Not isinstance: a bool is an int to isinstance.
    if type(version) is not int or not 0 <= version <= VERSION:
        raise MalformedEventError(f"version {version!r} is not known here (known: 0 to {VERSION})")
    decoder = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decoder is None:
        raise MalformedEventError(f"type {kind!r} is not known here")
    try:
        return decoder(fields if version == VERSION else upcast(fields, version))
    except KeyError as error:
        raise MalformedEventError(f"field {error} is missing") from None
    except (InvalidTimestampError, UnreadableVersionError) as error:
        raise MalformedEventError(str(error)) from None


def _encode_attempt_fact(event: PaymentInDoubt | PaymentReleased) -> dict[str, object]:
    return {
        "correlationId": event.correlation_id,
        "attempt": event.attempt,
        "processor": event.provider,
        "why": event.why,
        **_encode_resolution(event.resolution),
    }


def _encode_resolution(resolution: ManualResolution | None) -> dict[str, object]:
    """The field is present only in events that an operator wrote."""
    if resolution is None:
        return {}
    return {
        "operatorWord": {"by": resolution.by, "note": resolution.note, "saidAt": format_us(resolution.resolved_at_us)}
    }


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

_ENCODERS: dict[type, Callable[[Any], dict[str, object]]] = {
    PaymentRequested: lambda e: {
        "correlationId": e.correlation_id,
        "amountCents": e.amount_cents,
        "acceptedAt": format_us(e.accepted_at_us),
    },
    PaymentRouted: lambda e: {
        "correlationId": e.correlation_id,
        "amountCents": e.amount_cents,
        "attempt": e.attempt,
        "processor": e.provider,
        "requestedAt": format_us(e.requested_at_us),
        "why": e.why,
    },
    PaymentInDoubt: lambda e: {
        **_encode_attempt_fact(e),
        **({} if e.request_sequence is None else {"requestSequence": e.request_sequence}),
    },
    PaymentReleased: _encode_attempt_fact,
    PaymentProcessed: lambda e: {
        "correlationId": e.correlation_id,
        "amountCents": e.amount_cents,
        "attempt": e.attempt,
        "processor": e.provider,
        "requestedAt": format_us(e.requested_at_us),
        "processedAt": format_us(e.processed_at_us),
        **_encode_resolution(e.resolution),
    },
    PaymentRejected: lambda e: {
        "correlationId": e.correlation_id,
        "amountCents": e.amount_cents,
        "reason": e.reason,
        **({} if e.attempt is None else {"attempt": e.attempt}),
    },
    LedgerPurged: lambda e: {"who": e.who, "purgedAt": format_us(e.purged_at_us)},
}

_DECODERS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "PaymentRequested": lambda f: PaymentRequested(_id(f), _positive(f, "amountCents"), _time(f, "acceptedAt")),
    "PaymentRouted": lambda f: PaymentRouted(
        _id(f),
        _positive(f, "amountCents"),
        _attempt(f),
        _provider(f),
        _time(f, "requestedAt"),
        _text(f, "why"),
    ),
    "PaymentInDoubt": lambda f: PaymentInDoubt(
        *(_id(f), _attempt(f), _provider(f), _text(f, "why"), _resolution(f)),
        _positive(f, "requestSequence") if "requestSequence" in f else None,
    ),
    "PaymentReleased": lambda f: PaymentReleased(_id(f), _attempt(f), _provider(f), _text(f, "why"), _resolution(f)),
    "PaymentProcessed": lambda f: PaymentProcessed(
        _id(f),
        _positive(f, "amountCents"),
        _attempt(f),
        _provider(f),
        _time(f, "requestedAt"),
        _time(f, "processedAt"),
        _resolution(f),
    ),
    "PaymentRejected": lambda f: PaymentRejected(
        _id(f), _positive(f, "amountCents"), _text(f, "reason"), _attempt(f) if "attempt" in f else None
    ),
    "LedgerPurged": lambda f: LedgerPurged(_text(f, "who"), _time(f, "purgedAt")),
}


def _id(fields: dict[str, Any]) -> str:
    value = _text(fields, "correlationId")
    if not _UUID.fullmatch(value):
        raise MalformedEventError(f"field 'correlationId' is not a UUID in lower case: {value[:64]!r}")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise MalformedEventError(f"field {name!r} is not a text: {value!r}")
    return value


def _attempt(fields: dict[str, Any]) -> int:
    return _positive(fields, "attempt", ATTEMPT_MAX)


def _positive(fields: dict[str, Any], name: str, largest: int = NUMBER_MAX) -> int:
    value = fields[name]
    # `type`, not isinstance: a bool is an int to isinstance, and a float must never become money.
    if type(value) is not int or not 0 < value <= largest:
        raise MalformedEventError(f"field {name!r} is not a whole number from 1 to {largest}: {value!r}")
    return value


def _provider(fields: dict[str, Any]) -> ProviderName:
    value = fields["processor"]
    if value not in PROVIDERS:
        raise MalformedEventError(f"processor {value!r} is not known here")
    return cast("ProviderName", value)


def _resolution(fields: dict[str, Any]) -> ManualResolution | None:
    if "operatorWord" not in fields:
        return None
    resolution = fields["operatorWord"]
    if not isinstance(resolution, dict):
        raise MalformedEventError(f"field 'operatorWord' is not an object: {resolution!r}")
    return ManualResolution(_text(resolution, "by"), _text(resolution, "note"), _time(resolution, "saidAt"))


def _time(fields: dict[str, Any], name: str) -> int:
    return parse_us(_text(fields, name))
