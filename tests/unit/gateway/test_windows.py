"""The window of a summary: read exactly, or refused."""

from http import HTTPStatus

import pytest

from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.gateway.problems import Problem
from tollgate.gateway.windows import parse_window

NOON, NOON_US = "2026-01-31T12:00:00.000Z", 1_769_860_800_000_000


@pytest.mark.parametrize(
    ("query", "question"),
    [
        ({}, SummaryQuestion(None, None)),
        ({"from": [NOON]}, SummaryQuestion(NOON_US, None)),
        ({"to": [NOON]}, SummaryQuestion(None, NOON_US)),
        ({"from": [NOON], "to": [NOON]}, SummaryQuestion(NOON_US, NOON_US)),
        ({"from": [NOON], "to": ["2026-01-31T12:00:00.000001Z"]}, SummaryQuestion(NOON_US, NOON_US + 1)),
        ({"from": ["2026-01-31T12:00:00"], "to": ["2026-01-31T14:00:00+02:00"]}, SummaryQuestion(NOON_US, NOON_US)),
        ({"from": [], "to": []}, SummaryQuestion(None, None)),
        ({"from": ["2026-01-31T12:00:00.000000999Z"]}, SummaryQuestion(NOON_US + 1, None)),
        ({"from": ["2026-01-31T12:00:00.0000001Z"]}, SummaryQuestion(NOON_US + 1, None)),
        ({"from": ["2026-01-31T12:00:00.000000000Z"]}, SummaryQuestion(NOON_US, None)),
        ({"from": ["2026-01-31T14:00:00,9999999+02:00"]}, SummaryQuestion(NOON_US + 1_000_000, None)),
        ({"to": ["2026-01-31T12:00:00.000000999Z"]}, SummaryQuestion(None, NOON_US)),
        (
            {"from": ["2026-01-31T12:00:00.0000001Z"], "to": ["2026-01-31T12:00:00.0000009Z"]},
            SummaryQuestion(NOON_US + 1, NOON_US),
        ),
        ({"asOf": ["2026-01-31T12:00:00.000000999Z"]}, SummaryQuestion(as_of_us=NOON_US)),
        ({"asOf": ["17"]}, SummaryQuestion(as_of_sequence=17)),
        ({"asOf": ["0"], "to": [NOON]}, SummaryQuestion(None, NOON_US, as_of_sequence=0)),
        ({"asOf": [NOON]}, SummaryQuestion(as_of_us=NOON_US)),
    ],
)
def test_each_bound_may_be_left_out_and_is_read_exactly(query: dict[str, list[str]], question: SummaryQuestion) -> None:
    assert parse_window(query) == question


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"from": [""]}, "'from'"),
        ({"asOf": [""]}, "'asOf'"),
        ({"asOf": ["-1"]}, "'asOf'"),
        ({"asOf": ["1.5"]}, "'asOf'"),
        ({"asOf": ["1_0"]}, "'asOf'"),
        ({"asOf": ["²"]}, "'asOf'"),
        ({"asOf": ["9" * 19]}, "'asOf'"),
        ({"asOf": ["9" * 5_000]}, "'asOf'"),
        ({"asOf": ["yesterday"]}, "'asOf'"),
        ({"asOf": ["1", "2"]}, "more than once"),
        ({"asof": ["1"]}, "unknown parameter"),
        ({"to": [""]}, "'to'"),
        ({"from": ["yesterday"]}, "'from'"),
        ({"to": ["2026-01-31"]}, "'to'"),
        ({"to": ["2026-02-30T00:00:00Z"]}, "'to'"),
        ({"from": ["2026-01-31T12:00:00 02:00"]}, "'from'"),
        ({"from": ["1769860800"]}, "'from'"),
        ({"from": [NOON, NOON]}, "more than once"),
        ({"to": [NOON, ""]}, "more than once"),
        ({"From": [NOON]}, "'From'"),
        ({"since": [NOON]}, "'since'"),
        ({"from": [NOON], "to": [NOON], "processor": ["default"]}, "'processor'"),
        ({"": [NOON]}, "unknown"),
        ({"\ud800": [NOON]}, "unknown"),
        ({"from": ["2026-01-31T12:00:00.000001Z"], "to": [NOON]}, "later"),
        ({"from": ["2026-01-31T12:00:00.0000002Z"], "to": ["2026-01-31T12:00:00.0000001Z"]}, "later"),
    ],
)
def test_a_window_that_could_be_misread_is_refused_and_the_fault_named(query: dict[str, list[str]], named: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_window(query)
    assert refused.value.status == HTTPStatus.BAD_REQUEST
    assert named in refused.value.detail
    assert refused.value.body()


def test_an_endless_parameter_is_not_repeated_in_the_answer() -> None:
    for query in ({"x" * 100_000: [NOON]}, {"from": ["x" * 100_000]}):
        with pytest.raises(Problem) as refused:
            parse_window(query)
        assert len(refused.value.body()) < 400
