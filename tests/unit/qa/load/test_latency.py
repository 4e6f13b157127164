import pytest

from qa.load.latency import Percentiles, percentiles


def test_each_percentile_is_a_figure_that_occurred() -> None:
    found = percentiles([number / 1000 for number in range(100, 0, -1)])
    assert found.count == 100
    assert [found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms] == pytest.approx([50, 90, 99, 100])


def test_one_figure_is_every_percentile() -> None:
    assert percentiles([0.002]) == Percentiles(1, 2.0, 2.0, 2.0, 2.0)


def test_nothing_measured_is_zero_and_no_error() -> None:
    assert percentiles([]) == Percentiles(0, 0.0, 0.0, 0.0, 0.0)
