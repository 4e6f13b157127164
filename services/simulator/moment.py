"""Times: ISO 8601 outside, integer microseconds since 1970-01-01 UTC inside."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

EARLIEST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
LATEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def microseconds_from(text: object) -> int:
    """The ISO 8601 time `text` in microseconds UTC; finer digits are cut, no offset means UTC.

    Raises ValueError when it is not such a time, or outside the years 1 to 9999 UTC.
    """
    if not isinstance(text, str):
        raise ValueError("a moment must be text in ISO 8601")  # noqa: TRY004 - one error for every malformed request
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    moment_us = (moment - _EPOCH) // _MICROSECOND
    if not EARLIEST_US <= moment_us <= LATEST_US:
        raise ValueError(f"{text} is out of range")
    return moment_us


def moment_text(moment_us: int) -> str:
    """`moment_us` as ISO 8601 in UTC with six digits of a second, such as 2025-07-15T12:34:56.000000Z."""
    moment = _EPOCH + timedelta(microseconds=moment_us)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
