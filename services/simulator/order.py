"""Orders: the body of `POST /payments`, parsed and validated."""

from typing import Any, NamedTuple

import orjson

from tollgate.simulator.moment import microseconds_from
from tollgate.simulator.money import cents_from

_UUID_LENGTH = 36
_UUID_BYTES = 16


class MalformedError(ValueError):
    """The request's body is not a payment."""


class Order(NamedTuple):
    """A requested payment: its key, its amount in cents, its requestedAt in microseconds UTC."""

    key: bytes
    amount_cents: int
    requested_at_us: int


def key_from(correlation_id: object) -> bytes:
    """The sixteen bytes of a UUID written 8-4-4-4-12 in any case. Raises ValueError when it is not one.

    Bytes rather than uuid.UUID: an eighth of the time and a third of the memory.
    """
    if isinstance(correlation_id, str) and len(correlation_id) == _UUID_LENGTH and correlation_id[8:24:5] == "----":
        key = bytes.fromhex(correlation_id.replace("-", ""))
        # fromhex skips spaces, so the length is checked again.
        if len(key) == _UUID_BYTES:
            return key
    raise ValueError("correlationId must be a UUID")


def correlation_id_of(key: bytes) -> str:
    """The canonical lower-case text of a key."""
    digits = key.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_NAMES = {name.lower(): name for name in ("correlationId", "amount", "requestedAt")}

_CANONICAL = frozenset(_NAMES.values())


def _by_name(fields: Any) -> Any:
    """Folds the case of field names: the benchmark's providers accept any case."""
    if not isinstance(fields, dict) or fields.keys() >= _CANONICAL:
        return fields
    return {_NAMES.get(name.lower(), name): value for name, value in fields.items()}


def order_from(body: bytes) -> Order:
    """The order in a request's body. Raises MalformedError with the reason when there is none."""
    try:
        fields = _by_name(orjson.loads(body))
        return Order(
            key_from(fields["correlationId"]),
            cents_from(fields["amount"]),
            microseconds_from(fields["requestedAt"]),
        )
    except KeyError as missing:
        raise MalformedError(f"{missing.args[0]} is missing") from missing
    except TypeError as wrong_shape:
        raise MalformedError("the body must be a JSON object") from wrong_shape
    except ValueError as reason:
        raise MalformedError(str(reason)) from reason
