"""The window of a summary as a client asks for it. Pure."""

from collections.abc import Mapping, Sequence

from contract.queries import SummaryQuestion
from contract.timestamps import InvalidTimestampError, parse_us
from gateway.problems import malformed


def parse_window(query: Mapping[str, Sequence[str]]) -> SummaryQuestion:
    """Reads `from` and `to`, each optional, inclusive, ISO 8601. Raises Problem (400).

    A name that is not known is refused: a misspelt bound would otherwise answer for another window than was asked.
    """
    unknown = sorted(set(query) - {"from", "to"})
    if unknown:
        raise malformed(f"unknown parameter {unknown[0][:64]!r}; known are 'from' and 'to'")
    question = SummaryQuestion(_bound(query, "from"), _bound(query, "to"))
    if question.from_us is not None and question.to_us is not None and question.from_us > question.to_us:
        raise malformed("'from' must not be later than 'to'")
    return question


def _bound(query: Mapping[str, Sequence[str]], name: str) -> int | None:
    values = query.get(name, ())
    if not values:
        return None
    if len(values) > 1:
        raise malformed(f"{name!r} is given more than once")
    try:
        return parse_us(values[0])
    except InvalidTimestampError:
        raise malformed(
            f"{name!r} must be an ISO 8601 date and time such as 2026-01-31T12:00:00.000Z, not {values[0][:64]!r}"
        ) from None
