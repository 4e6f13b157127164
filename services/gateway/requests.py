"""Parses a client's payment request strictly, because what is accepted here is charged. Pure."""

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from email.message import Message
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NoReturn

from tollgate.contract.money import AMOUNT_CENTS_MAX, InvalidAmountError, cents_from_decimal
from tollgate.gateway.problems import Problem, invalid, malformed

BODY_BYTES_MAX = 65_536
NUMBER_CHARACTERS_MAX = 64
"""Longer number literals are refused before they are converted: no amount needs them."""

_LENGTH_DIGITS_MAX = len(str(BODY_BYTES_MAX))
_UTF_8 = ("utf-8", "utf8", "us-ascii")

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_USUAL = re.compile(
    rb'\{"correlationId": ?"(%b)", ?"amount": ?(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?\}' % _UUID.pattern.encode()
)
"""How JSON encoders write a payment: two fields, at most one space between tokens, an amount without an exponent."""


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """The requested payment; `correlation_id` is in lower case."""

    correlation_id: str
    amount_cents: int


def parse_order(content_type: str | None, content_encoding: str | None, body: bytes) -> PaymentOrder:
    """Reads the body of `POST /payments`. Raises Problem (400, 413, 415, 422)."""
    _check_media(content_type, content_encoding)
    if len(body) > BODY_BYTES_MAX:
        raise too_large()
    if (order := _usual_order(body)) is not None:
        return order
    fields = _parse_object(body)
    return PaymentOrder(parse_correlation_id(_field(fields, "correlationId")), _parse_amount(_field(fields, "amount")))


def parse_correlation_id(value: object) -> str:
    """The id in lower case. Raises Problem (422) unless it is a UUID in its usual form with hyphens."""
    if not isinstance(value, str):
        raise invalid("correlationId must be a string that holds a UUID")
    if not _UUID.fullmatch(value):
        raise invalid("correlationId must be a UUID such as 4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3")
    return value.lower()


def is_too_long(length: bytes) -> bool:
    """Whether a Content-Length in digits is over the limit, however many digits it has."""
    digits = length.lstrip(b"0")
    return len(digits) > _LENGTH_DIGITS_MAX or int(digits or b"0") > BODY_BYTES_MAX


def too_large() -> Problem:
    """413: the body is over the limit."""
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body must be at most {BODY_BYTES_MAX} bytes")


def _check_media(content_type: str | None, content_encoding: str | None) -> None:
    if not _is_json_in_utf_8(content_type or ""):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json, in UTF-8")
    if (content_encoding or "identity").strip().lower() != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding must be absent: send the body as it is")


@lru_cache(maxsize=32)
def _is_json_in_utf_8(content_type: str) -> bool:
    """Whether the media type is JSON in UTF-8; parameters other than the charset do not matter."""
    message = Message()
    message["Content-Type"] = content_type
    charsets = [value for name, value in message.get_params([]) if name.lower() == "charset"]
    return message.get_content_type() == "application/json" and all(str(one).lower() in _UTF_8 for one in charsets)


def _usual_order(body: bytes) -> PaymentOrder | None:
    """The order in a body of the usual form: a fifth of the time that the parser of JSON takes. None for all others."""
    usual = _USUAL.fullmatch(body)
    if usual is None:
        return None
    correlation_id, units, decimals = usual.groups(b"")
    amount_cents = int(units + decimals.ljust(2, b"0"))
    return PaymentOrder(correlation_id.decode().lower(), amount_cents) if 0 < amount_cents <= AMOUNT_CENTS_MAX else None


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        value = _JSON.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise malformed("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise malformed("the body is nested too deeply") from None
    if not isinstance(value, dict):
        raise malformed("the body must be a JSON object")
    return value


def _decimal(literal: str) -> Decimal:
    if len(literal) > NUMBER_CHARACTERS_MAX:
        raise invalid(f"a number of more than {NUMBER_CHARACTERS_MAX} characters")
    try:
        return Decimal(literal)
    except InvalidOperation:
        raise invalid(f"a number that is out of range: {literal}") from None


def _refuse_constant(literal: str) -> NoReturn:
    raise malformed(f"{literal} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise malformed("a field is given twice")
    return fields


# Not orjson: it reads numbers as floats, and 19.900000000000000001 would pass for 19.90.
_JSON = json.JSONDecoder(
    parse_float=_decimal, parse_int=_decimal, parse_constant=_refuse_constant, object_pairs_hook=_unique
)


def _field(fields: dict[str, Any], name: str) -> object:
    if name not in fields:
        raise invalid(f"{name} is missing")
    return fields[name]


def _parse_amount(value: object) -> int:
    if not isinstance(value, Decimal):
        raise invalid("amount must be a number")
    try:
        return cents_from_decimal(value)
    except InvalidAmountError as error:
        raise invalid(str(error)) from None
