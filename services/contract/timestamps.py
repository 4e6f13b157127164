"""Time: integer microseconds since the Unix epoch inside, RFC 3339 in UTC outside."""

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from tollgate.contract.errors import TollgateError

MICROSECONDS = 1_000_000
"""Microseconds in a second."""
TEXT_CHARACTERS_MAX = 64

_ISO_8601 = re.compile(
    r"\d{4}-?\d\d-?\d\dT(?!24)\d\d:?\d\d(:?\d\d([.,]\d{1,9})?)?(Z|[+-]\d\d(:?\d\d)?)?", re.ASCII | re.IGNORECASE
)
_NANOSECONDS = re.compile(r"[.,]\d{6}(\d{1,3})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_CHARACTERS = len("1970-01-01T00:00:00")
_MICROSECOND = timedelta(microseconds=1)


class InvalidTimestampError(TollgateError, ValueError):
    """The text is not an RFC 3339 timestamp with at most microseconds."""


def now_us() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000


def format_us(timestamp_us: int) -> str:
    """2026-01-31T12:00:00.000001Z, always with six decimals, so that the text sorts as the time does."""
    second, microsecond = divmod(timestamp_us, MICROSECONDS)
    return f"{_format_second(second)}.{microsecond:06d}Z"


@lru_cache(maxsize=32)
def _format_second(second: int) -> str:
    """2026-01-31T12:00:00. Cached, because most stamps that are written are of the last few seconds."""
    return (_EPOCH + timedelta(seconds=second)).isoformat()[:_SECOND_CHARACTERS]


def parse_us(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 timestamp; without an offset it is read as UTC.

    Digits finer than a microsecond are dropped. Raises InvalidTimestampError.
    """
    # Checked first: `fromisoformat` also accepts week dates, some texts that are no dates, and from
    # Python 3.14 on 24:00 as the next midnight: the same text has to be the same payment to every version.
    if not _ISO_8601.fullmatch(text[: TEXT_CHARACTERS_MAX + 1]):
        raise InvalidTimestampError(f"not an ISO 8601 date and time: {text[:TEXT_CHARACTERS_MAX]!r}")
    try:
        moment = datetime.fromisoformat(text.upper())
        # Converted to UTC, which refuses a year out of its range: such a time could not be written to the log either.
        return ((moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise InvalidTimestampError(f"not an ISO 8601 date and time: {text!r}") from None


def parse_ns(text: str) -> int:
    """As `parse_us`, with its finer digits: nanoseconds since the epoch. Raises InvalidTimestampError."""
    microseconds = parse_us(text)
    finer = _NANOSECONDS.search(text)
    return microseconds * 1_000 + (0 if finer is None else int(finer[1].ljust(3, "0")))


def first_us(moment_ns: int) -> int:
    """The first whole microsecond at or after the moment: the lower bound of what is stamped in microseconds."""
    return -(-moment_ns // 1_000)


def last_us(moment_ns: int) -> int:
    """The last whole microsecond at or before the moment: the upper bound."""
    return moment_ns // 1_000
