"""Provider contracts: what a complete answer of a provider proves, in one table for each contract. Pure.

Proxies, ingresses and firewalls between this service and a provider may answer in its place. So an answer proves
something only where the provider's contract names it, by its status and by the form of its body. Every other answer is
OutsideContract: it proves nothing (docs/decisions/0020).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from types import MappingProxyType

import orjson

from tollgate.contract.money import cents_from_decimal
from tollgate.contract.timestamps import parse_us
from tollgate.processor.charging.outcomes import (
    Answer,
    Charged,
    Duplicate,
    Failed,
    Found,
    LookupAnswer,
    Missing,
    NoAnswer,
    NotReached,
    OutsideContract,
    Refused,
)
from tollgate.processor.health.record import health_from
from tollgate.processor.health.report import Health, NoHealth

SOURCE_HEADERS = ("Content-Type", "Server", "Via")
SOURCE_CHARACTERS_MAX = 80
"""The most that is shown of each of them."""
_OK, _NOT_FOUND, _TOO_MANY_REQUESTS = 200, 404, 429


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer over HTTP, received in full."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The status, and the headers that may identify the sender, for a log line and for an event."""
        values = (self.headers.get(name, "") for name in SOURCE_HEADERS)
        source = ", ".join(_printable(text) for text in values if text)
        return f"status {self.status}" + (f" ({source})" if source else "")


class Form(Enum):
    """The form of a body."""

    EMPTY = "empty"
    MESSAGE = "a JSON object with a text `message`"
    OTHER = "another"


def form_of(body: bytes) -> Form:
    """The form that `body` has."""
    if not body:
        return Form.EMPTY
    try:
        fields = orjson.loads(body)
    except ValueError:
        return Form.OTHER
    is_message = isinstance(fields, dict) and isinstance(fields.get("message"), str)
    return Form.MESSAGE if is_message else Form.OTHER


class Meaning(Enum):
    """What an answer of `POST /payments` proves."""

    CHARGED = "charged"
    DUPLICATE = "charged before"
    REFUSED = "refused for good, when its lookup has no record either"
    BUSY = "not charged: refused before anything was begun"
    FAILED = "the handler has ended; its lookup shows whether it charged"


@dataclass(frozen=True, slots=True, eq=False)
class ProviderContract:
    """What the provider itself answers, and what each of its answers proves."""

    name: str
    payment_answers: Mapping[tuple[int, Form], Meaning]
    """Of `POST /payments`."""
    missing_forms: frozenset[Form]
    """The forms of the provider's own 404 to a lookup."""
    health_statuses: frozenset[int] = frozenset({200, 503})
    """The statuses that carry its health. One published version of the benchmark's answers 503 while it fails."""

    def payment_answer(self, reply: Reply) -> Answer:
        """What a complete answer of `POST /payments` proves."""
        meaning = self.payment_answers.get((reply.status, form_of(reply.body)))
        return OutsideContract(str(reply)) if meaning is None else _answer(meaning, reply)

    def lookup_answer(self, reply: Reply, correlation_id: str) -> LookupAnswer:
        """What a complete answer of `GET /payments/{id}` proves."""
        if reply.status == _OK:
            return _record(reply, correlation_id)
        if reply.status == _NOT_FOUND and form_of(reply.body) in self.missing_forms:
            return Missing()
        if reply.status == _TOO_MANY_REQUESTS:
            return NoAnswer("429 too many requests")
        return OutsideContract(str(reply))

    def health_answer(self, reply: Reply) -> Health | NoHealth:
        """The health in a complete answer of the health endpoint."""
        if reply.status == _TOO_MANY_REQUESTS:
            return NoHealth("another caller has asked within the interval (429)")
        if reply.status not in self.health_statuses:
            return NoHealth(f"status {reply.status}")
        try:
            return health_from(orjson.loads(reply.body))
        except ValueError as error:
            return NoHealth(f"status {reply.status} with an answer that cannot be read: {error}")


_COMMON_ANSWERS: Mapping[tuple[int, Form], Meaning] = {
    (200, Form.MESSAGE): Meaning.CHARGED,
    (422, Form.MESSAGE): Meaning.DUPLICATE,
    # A 429, from the provider or from a proxy before it, means that nothing was begun.
    **{(429, form): Meaning.BUSY for form in Form},
}

CONTEST = ProviderContract(
    "contest",
    MappingProxyType(
        {
            **_COMMON_ANSWERS,
            (400, Form.EMPTY): Meaning.REFUSED,
            # The injected failure has no body, an error of the handler a message. Both end the handler.
            (500, Form.EMPTY): Meaning.FAILED,
            (500, Form.MESSAGE): Meaning.FAILED,
        }
    ),
    missing_forms=frozenset({Form.EMPTY}),
)
"""The providers of the Rinha benchmark, and the simulator."""

STRICT = ProviderContract(
    "strict",
    MappingProxyType(_COMMON_ANSWERS),
    # A lookup's 404 only lets the same attempt be sent again: without a Failed it never releases one.
    missing_forms=frozenset(Form),
)
"""For a provider of which nothing else is known: no error releases or rejects a payment."""

CONTRACTS: Mapping[str, ProviderContract] = MappingProxyType({one.name: one for one in (CONTEST, STRICT)})


def _answer(meaning: Meaning, reply: Reply) -> Answer:
    match meaning:
        case Meaning.CHARGED:
            return Charged()
        case Meaning.DUPLICATE:
            return Duplicate()
        case Meaning.BUSY:
            return NotReached(f"status {reply.status}", is_busy=True)
        case Meaning.FAILED:
            return Failed(f"status {reply.status}")
        case Meaning.REFUSED:
            return Refused(f"the provider refused it with status {reply.status}")


def _record(reply: Reply, correlation_id: str) -> LookupAnswer:
    try:
        record = json.loads(reply.body, parse_float=Decimal, parse_int=Decimal)
        found = Found(cents_from_decimal(record["amount"]), parse_us(record["requestedAt"]))
        if record["correlationId"].lower() != correlation_id.lower():
            return OutsideContract(f"{reply} with the record of another payment")
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        return OutsideContract(f"{reply} with a record that cannot be read: {error!r:.200}")
    return found


def _printable(text: str) -> str:
    # A header can hold bytes that are not text.
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in text[:SOURCE_CHARACTERS_MAX])
