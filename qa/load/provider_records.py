"""The gateway's summary and the provider records, parsed and compared exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from qa.load.money import NotCentsError, cents_of, read_json

PROVIDERS = ("default", "fallback")


class UnreadableError(ValueError):
    """An answer is neither a summary nor a list of payments."""


@dataclass(frozen=True, slots=True)
class Totals:
    count: int = 0
    cents: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.count + other.count, self.cents + other.cents)

    def __sub__(self, other: Totals) -> Totals:
        return Totals(self.count - other.count, self.cents - other.cents)


@dataclass(frozen=True, slots=True)
class Summary:
    default: Totals
    fallback: Totals

    @property
    def total(self) -> Totals:
        return self.default + self.fallback

    def __sub__(self, other: Summary) -> Summary:
        return Summary(self.default - other.default, self.fallback - other.fallback)


@dataclass(frozen=True, slots=True)
class Entry:
    """One charge in a provider's records."""

    payment_id: str
    cents: int
    requested_at: datetime


def read_totals(body: bytes) -> Totals:
    """Parses a provider's `GET /admin/payments-summary`, without its fees."""
    return _totals(_json(body))


def read_summary(body: bytes) -> Summary:
    """Parses the gateway's `GET /payments-summary`."""
    answer = _json(body)
    if not isinstance(answer, dict):
        raise UnreadableError(f"a summary is an object, not {_shortened(answer)}")
    return Summary(*(_totals(answer.get(provider)) for provider in PROVIDERS))


def read_entries(body: bytes) -> list[Entry]:
    """Parses a provider's `GET /admin/payments`: a JSON array, or one JSON object a line."""
    if body.lstrip().startswith(b"["):
        rows = _json(body)
        if not isinstance(rows, list):  # it began with a bracket
            raise UnreadableError("not a list of payments")
        return [_entry(row) for row in rows]
    return [_entry(row) for row in _lines(body)]


def _lines(body: bytes) -> Iterator[object]:
    for line in body.splitlines():
        if line.strip():
            yield _json(line)


def _entry(row: object) -> Entry:
    if not isinstance(row, Mapping):
        raise UnreadableError(f"a payment is an object, not {_shortened(row)}")
    try:
        requested_at = datetime.fromisoformat(str(row["requestedAt"]))
        if requested_at.tzinfo is None:  # the benchmark's providers omit the offset and mean UTC
            requested_at = requested_at.replace(tzinfo=UTC)
        return Entry(str(row["correlationId"]).lower(), cents_of(row["amount"]), requested_at)
    except (KeyError, ValueError) as fault:
        raise UnreadableError(f"no payment: {_shortened(row)} ({fault})") from fault


def _totals(part: object) -> Totals:
    if not isinstance(part, Mapping):
        raise UnreadableError(f"totals are an object, not {_shortened(part)}")
    count = part.get("totalRequests")
    if isinstance(count, bool) or not isinstance(count, int):
        raise UnreadableError(f"totalRequests is {_shortened(count)}")
    try:
        return Totals(count, cents_of(part.get("totalAmount")))
    except NotCentsError as fault:
        raise UnreadableError(f"totalAmount: {fault}") from fault


def _json(text: bytes) -> object:
    try:
        return read_json(text)
    except ValueError as fault:
        raise UnreadableError(f"not JSON: {text[:80]!r}") from fault


def _shortened(value: object) -> str:
    return repr(value)[:80]
