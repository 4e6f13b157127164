import pytest

from tollgate.console.samples import Sample, buckets_of, increase, point_between, quantile, rate

INFINITY = float("inf")


def test_a_rate_is_the_increase_a_second() -> None:
    assert rate(100, 150, 2.0) == 25.0


@pytest.mark.parametrize(("earlier", "later"), [(None, 1), (1, None), (2, 1)])
def test_an_unknown_count_and_one_that_went_back_have_no_rate(earlier: int | None, later: int | None) -> None:
    assert rate(earlier, later, 1.0) is None


@pytest.mark.parametrize(
    ("share", "seconds"),
    [(0.25, 0.05), (0.5, 0.1), (0.75, 0.15), (1.0, 0.2)],
)
def test_a_quantile_is_linear_inside_its_bucket(share: float, seconds: float) -> None:
    assert quantile({0.1: 50, 0.2: 100, INFINITY: 100}, share) == pytest.approx(seconds)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile({0.1: 50, INFINITY: 100}, 0.99) == 0.1


@pytest.mark.parametrize("buckets", [{}, {0.1: 0.0, INFINITY: 0.0}])
def test_without_observations_there_is_no_quantile(buckets: dict[float, float]) -> None:
    assert quantile(buckets, 0.5) is None


def test_buckets_are_summed_over_programs_and_chosen_by_label() -> None:
    programs = [
        {'calls_bucket{provider="default",le="0.1"}': 3.0, 'calls_bucket{provider="fallback",le="0.1"}': 5.0},
        {'calls_bucket{le="0.1",provider="default"}': 4.0, 'calls_bucket{le="+Inf",provider="default"}': 9.0},
        {'other_bucket{le="0.1",provider="default"}': 7.0, "calls_count": 1.0},
    ]
    assert buckets_of(programs, "calls", {"provider": "default"}) == {0.1: 7.0, INFINITY: 9.0}


def test_after_a_restart_the_later_counts_are_taken() -> None:
    assert increase({0.1: 5.0}, {0.1: 8.0}) == {0.1: 3.0}
    assert increase({0.1: 5.0}, {0.1: 2.0}) == {0.1: 2.0}


def test_a_point_has_the_rates_since_the_earlier_sample_and_the_gauges_of_the_later() -> None:
    earlier = Sample(0, 10, {"default": 4, "fallback": 1}, 9, 0, {0.01: 10, INFINITY: 10})
    later = Sample(2_000_000, 30, {"default": 14, "fallback": 2}, 3, 1, {0.01: 20, INFINITY: 20})
    point = point_between(earlier, later)
    assert (point.accepted, point.default, point.fallback) == (10.0, 5.0, 0.5)
    assert (point.at_ms, point.queue, point.in_doubt) == (2_000, 3, 1)
    assert point.p50_ms == pytest.approx(5.0)
