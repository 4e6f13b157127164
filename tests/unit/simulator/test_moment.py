import pytest

from tollgate.simulator.moment import EARLIEST_US, LATEST_US, microseconds_from, moment_text


@pytest.mark.parametrize(
    ("text", "moment_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.000001Z", 1_000_001),
        ("1970-01-01T00:00:00.1234567Z", 123_456),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T00:00:00", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_a_moment_is_read_to_the_microsecond_in_utc(text: str, moment_us: int) -> None:
    assert microseconds_from(text) == moment_us


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01T00:00:00Z", "0001-01-01T00:00:00+05:00", 1, None])
def test_what_is_no_moment_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        microseconds_from(text)


@pytest.mark.parametrize("moment_us", [EARLIEST_US, -1, 0, 1_752_582_896_123_456, LATEST_US])
def test_a_moment_survives_writing_and_reading(moment_us: int) -> None:
    assert microseconds_from(moment_text(moment_us)) == moment_us
