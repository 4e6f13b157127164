"""Times as text: exact to the microsecond, and sorted like the times."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.contract.event_strategies import TIME_US_MAX, TIME_US_MIN, times
from tollgate.contract.timestamps import (
    MICROSECONDS,
    TEXT_CHARACTERS_MAX,
    InvalidTimestampError,
    first_us,
    format_us,
    last_us,
    now_us,
    parse_ns,
    parse_us,
)

MOMENT_US = 1_769_860_800_000_001


@given(times)
def test_a_time_survives_formatting_and_parsing(moment_us: int) -> None:
    assert parse_us(format_us(moment_us)) == moment_us


@given(times, times)
def test_texts_sort_like_the_times(one_us: int, other_us: int) -> None:
    assert (format_us(one_us) < format_us(other_us)) == (one_us < other_us)


@pytest.mark.parametrize(
    ("moment_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (MOMENT_US, "2026-01-31T12:00:00.000001Z"),
        (TIME_US_MIN, "0001-01-01T00:00:00.000000Z"),
        (TIME_US_MAX, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_formatted_as_expected(moment_us: int, text: str) -> None:
    assert format_us(moment_us) == text


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00.000001Z",
        "2026-01-31t12:00:00.000001Z",
        "2026-01-31T12:00:00.000001",
        "2026-01-31T12:00:00.0000019Z",
        "2026-01-31T12:00:00.000001+00:00",
        "2026-01-31T12:00:00.000001-00:00",
        "2026-01-31T14:30:00.000001+02:30",
        "2026-01-31T02:00:00.000001-10:00",
        "2026-02-01T02:00:00.000001+14:00",
        "20260131T120000.000001Z",
    ],
)
def test_equivalent_spellings_of_a_time_are_parsed(text: str) -> None:
    assert parse_us(text) == MOMENT_US


@pytest.mark.parametrize(
    ("text", "moment_us"),
    [
        ("2026-01-31T12:00:00Z", MOMENT_US - 1),
        ("2026-01-31T12:00Z", MOMENT_US - 1),
        ("2026-01-31T12:00:00.1Z", MOMENT_US - 1 + 100_000),
        ("2026-01-31T12:00:00.123Z", MOMENT_US - 1 + 123_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_a_text_is_parsed_as_expected(text: str, moment_us: int) -> None:
    assert parse_us(text) == moment_us


@given(times.filter(lambda moment: moment % MICROSECONDS), st.integers(-14 * 60, 14 * 60))
def test_an_offset_is_subtracted_exactly(moment_us: int, offset_minutes: int) -> None:
    local_us = moment_us + offset_minutes * 60 * MICROSECONDS
    if not TIME_US_MIN <= local_us <= TIME_US_MAX:
        return
    sign = "-" if offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(offset_minutes), 60)
    assert parse_us(f"{format_us(local_us)[:-1]}{sign}{hours:02d}:{minutes:02d}") == moment_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "T",
        "yesterday",
        "2026-01-31",
        "12:00:00",
        "T12:00:00Z",
        "2026-01-31 12:00:00Z",
        "2026-01-31_12:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00+25:00",
        "2026-01-31T12:00:00+",
        "2026-01-31T12:00:00 02:00",
        "2026-01-31T12:00:00x+02:00",
        "2026-01-31T12:00:00.123456abcZ",
        "2026-01-31T12:00:00.-1Z",
        "-2026-01-31T12:00:00Z",
        "12026-01-31T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "1769860800",
        "1769860800T",
        "\ud800026-01-31T12:00:00Z",
        "\uff12026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        "2026-01-31T12:00:00.000000Z" + "0" * TEXT_CHARACTERS_MAX,
    ],
)
def test_a_text_that_is_no_date_and_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidTimestampError):
        parse_us(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_cannot_be_formatted_is_refused(text: str) -> None:
    with pytest.raises(InvalidTimestampError):
        parse_us(text)


def test_a_very_long_text_is_refused_and_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidTimestampError) as refused:
        parse_us("2026-01-31T12:00:00" + "0" * 1_000_000)
    assert len(str(refused.value)) < 200


@given(st.text("0123456789-+:.,TZtzW ", max_size=40) | st.text(max_size=40))
def test_any_text_is_parsed_or_raises_the_documented_error(text: str) -> None:
    try:
        parse_us(text)
    except InvalidTimestampError as error:
        assert str(error)  # noqa: PT017 - that it is this error, or none, is the promise


def test_now_is_the_wall_clock_in_whole_microseconds() -> None:
    before = time.time() * MICROSECONDS
    moment_us = now_us()
    assert isinstance(moment_us, int)
    assert before - MICROSECONDS <= moment_us <= time.time() * MICROSECONDS + MICROSECONDS


@given(times, st.integers(0, 999), st.sampled_from((1, 2, 3)))
def test_a_bound_with_finer_digits_excludes_the_microsecond_outside_it(us: int, finer: int, digits: int) -> None:
    fraction = str(finer).rjust(3, "0")[:digits]
    moment_ns = parse_ns(f"{format_us(us).removesuffix('Z')}{fraction}Z")
    assert moment_ns == us * 1_000 + int(fraction.ljust(3, "0"))
    assert first_us(moment_ns) * 1_000 >= moment_ns > (first_us(moment_ns) - 1) * 1_000
    assert last_us(moment_ns) * 1_000 <= moment_ns < (last_us(moment_ns) + 1) * 1_000
