import pytest

from tollgate.console.history import SPANS, History
from tollgate.console.samples import Sample


def filled(seconds: int, step: int = 1) -> History:
    history = History()
    for second in range(0, seconds, step):
        history.add(Sample(second * 1_000_000, accepted=second * 10))
    return history


def test_the_shortest_series_has_a_point_for_each_second() -> None:
    points = filled(11).series["5m"].points
    assert [point.accepted for point in points] == [10.0] * 10


def test_a_longer_series_has_one_for_each_of_its_steps() -> None:
    points = filled(101).series["1h"].points
    assert [point.at_ms for point in points] == [seconds * 1_000 for seconds in range(10, 101, 10)]
    assert {point.accepted for point in points} == {10.0}


@pytest.mark.parametrize("span", SPANS)
def test_a_series_is_bounded_by_its_span(span: str) -> None:
    span_seconds, step_seconds = SPANS[span]
    points = filled(span_seconds * 2, step_seconds).series[span].points
    assert len(points) <= span_seconds // step_seconds + 1
    assert points[-1].at_ms - points[0].at_ms <= span_seconds * 1_000


def test_after_the_clock_went_back_the_series_continues_from_there() -> None:
    history = filled(11)
    assert history.add(Sample(5_000_000, accepted=1_000)) is None
    point = history.add(Sample(6_000_000, accepted=1_007))
    assert point is not None
    assert point.accepted == 7.0


def test_columns_are_as_long_as_the_series() -> None:
    columns = filled(11).series["5m"].columns()
    assert {len(column) for column in columns.values()} == {10}
    assert columns["at_ms"][0] == 1_000


def test_a_pause_in_which_nothing_was_asked_is_a_gap() -> None:
    history = filled(11)
    after = history.add(Sample(3_600_000_000, accepted=9_000, queue=3))
    assert after is not None
    assert (after.accepted, after.queue) == (None, None)
    later = history.add(Sample(3_601_000_000, accepted=9_010, queue=3))
    assert later is not None
    assert (later.accepted, later.queue) == (10.0, 3)
