"""Parses the window of a summary request. Pure."""

from collections.abc import Mapping, Sequence

from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.timestamps import InvalidTimestampError, first_us, last_us, parse_ns
from tollgate.gateway.problems import malformed

_SEQUENCE_DIGITS_MAX = 18
"""Longer numbers are no sequences: the read model counts in 64 bits."""


def parse_window(query: Mapping[str, Sequence[str]]) -> SummaryQuestion:
    """Reads `from` and `to`, each optional, inclusive, ISO 8601, and `asOf`. Raises Problem (400).

    An unknown parameter is refused: otherwise a misspelt bound would get the answer for another window.
    """
    unknown = sorted(set(query) - {"from", "to", "asOf"})
    if unknown:
        raise malformed(f"unknown parameter {unknown[0][:64]!r}; known are 'from', 'to' and 'asOf'")
    from_ns, to_ns = _moment_ns(query, "from"), _moment_ns(query, "to")
    if from_ns is not None and to_ns is not None and from_ns > to_ns:
        raise malformed("'from' must not be later than 'to'")
    # Stamps have whole microseconds: a window between two of them ends before it begins, and is empty.
    from_us = None if from_ns is None else first_us(from_ns)
    to_us = None if to_ns is None else last_us(to_ns)
    return SummaryQuestion(from_us, to_us, *_as_of(query))


def _as_of(query: Mapping[str, Sequence[str]]) -> tuple[int | None, int | None]:
    """A place in the log, or a moment, in microseconds since the epoch."""
    value = _single(query, "asOf")
    if value is not None and value.isascii() and value.isdigit():
        if len(value) > _SEQUENCE_DIGITS_MAX:
            raise malformed(f"'asOf' is no place in the log: {value[:64]!r}")
        return int(value), None
    moment_ns = _moment_ns(query, "asOf")
    return None, None if moment_ns is None else last_us(moment_ns)


def _moment_ns(query: Mapping[str, Sequence[str]], name: str) -> int | None:
    value = _single(query, name)
    if value is None:
        return None
    try:
        return parse_ns(value)
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
