from datetime import UTC, datetime, timedelta, timezone

import pytest

from qa.load.window import Window, check_window, moment_text

NOON = datetime(2025, 7, 5, 12, 0, 0, 123_999, UTC)


def test_a_moment_has_milliseconds_cut_off_and_a_z() -> None:
    assert moment_text(NOON) == "2025-07-05T12:00:00.123Z"
    assert moment_text(NOON.replace(microsecond=0)) == "2025-07-05T12:00:00.000Z"


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=-3))])
def test_a_moment_that_is_not_utc_is_refused(zone: timezone | None) -> None:
    with pytest.raises(ValueError, match="not in UTC"):
        moment_text(NOON.replace(tzinfo=zone))


def test_the_benchmark_s_window_ends_one_and_a_half_seconds_ago() -> None:
    assert check_window(NOON).query == "from=2025-07-05T11%3A59%3A45.123Z&to=2025-07-05T11%3A59%3A58.623Z"


def test_a_window_cannot_end_before_it_starts() -> None:
    with pytest.raises(ValueError, match="cannot end"):
        Window(NOON, NOON - timedelta(microseconds=1))
