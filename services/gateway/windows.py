"""The window of a summary as a client asks for it. Pure."""

from collections.abc import Mapping, Sequence

from contract.queries import SummaryQuestion
from contract.timestamps import InvalidTimestampError, parse_us
from gateway.problems import malformed

_SEQUENCE_DIGITS_MAX = 18
"""Longer numbers are no sequences: the read model counts in 64 bits."""


def parse_window(query: Mapping[str, Sequence[str]]) -> SummaryQuestion:
    """Reads `from` and `to`, each optional, inclusive, ISO 8601, and `asOf`. Raises Problem (400).

    A name that is not known is refused: a misspelt bound would otherwise answer for another window than was asked.
    """
    unknown = sorted(set(query) - {"from", "to", "asOf"})
    if unknown:
        raise malformed(f"unknown parameter {unknown[0][:64]!r}; known are 'from', 'to' and 'asOf'")
    question = SummaryQuestion(_bound(query, "from"), _bound(query, "to"), *_as_of(query))
    if question.from_us is not None and question.to_us is not None and question.from_us > question.to_us:
        raise malformed("'from' must not be later than 'to'")
    return question


def _as_of(query: Mapping[str, Sequence[str]]) -> tuple[int | None, int | None]:
    """A place in the log, or a moment, in microseconds since the epoch."""
    value = _single(query, "asOf")
    if value is not None and value.isascii() and value.isdigit():
        if len(value) > _SEQUENCE_DIGITS_MAX:
            raise malformed(f"'asOf' is no place in the log: {value[:64]!r}")
        return int(value), None
    return None, _bound(query, "asOf")


def _bound(query: Mapping[str, Sequence[str]], name: str) -> int | None:
    value = _single(query, name)
    if value is None:
        return None
    try:
        return parse_us(value)
    except InvalidTimestampError:
        place = "a place in the log, or " if name == "asOf" else ""
        raise malformed(
            f"{name!r} must be {place}an ISO 8601 date and time such as 2026-01-31T12:00:00.000Z, not {value[:64]!r}"
        ) from None


def _single(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = query.get(name, ())
    if len(values) > 1:
        raise malformed(f"{name!r} is given more than once")
    return values[0] if values else None
