"""The wall clock of the history."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def now_us() -> int:
    return time.time_ns() // 1_000


def us_of(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def moment_of(us: int) -> datetime:
    return EPOCH + us * _MICROSECOND


def clock_text(us: int) -> str:
    """`12:00:00.123456`."""
    return moment_of(us).strftime("%H:%M:%S.%f")
