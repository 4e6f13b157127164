from typing import Any

import pytest

from tollgate.simulator.faults import CALM, CALM_LOOKUP, BadFaultsError, Dice, DrawnFault, Ending
from tollgate.simulator.intermediary import ERRORS, EXPIRED_TOKENS, LOOKUP_NO_ROUTES, NO_ROUTES, PAGES, REFUSALS, Form


def dice(**faults: object) -> Dice:
    cast = Dice(seed=1)
    cast.change(faults)
    return cast


def drawn_faults(source: Dice, count: int = 1000) -> list[DrawnFault]:
    return [source.draw() for _ in range(count)]


def test_without_faults_nothing_is_drawn() -> None:
    assert all(drawn_fault is CALM for drawn_fault in drawn_faults(dice()))
    assert dice().draw_lookup() is CALM_LOOKUP
    assert not dice().draw_health_503()


@pytest.mark.parametrize(
    ("fault", "drawn_fault"),
    [
        ("refused_ratio", DrawnFault(refused=True)),
        ("failure_ratio", DrawnFault(fails=True)),
        ("lost_answer_ratio", DrawnFault(ending=Ending.LOST)),
        ("error_after_charge_ratio", DrawnFault(ending=Ending.ERROR)),
        ("garbage_ratio", DrawnFault(ending=Ending.GARBAGE)),
        ("close_ratio", DrawnFault(closes=True)),
        ("own_refusal_ratio", DrawnFault(refuses=True)),
    ],
)
def test_a_ratio_of_one_strikes_always_and_nothing_else_with_it(fault: str, drawn_fault: DrawnFault) -> None:
    assert set(drawn_faults(dice(**{fault: 1}))) == {drawn_fault}


@pytest.mark.parametrize(
    ("fault", "ways"),
    [
        ("proxy_error_ratio", ERRORS),
        ("proxy_expired_token_ratio", EXPIRED_TOKENS),
        ("proxy_no_route_ratio", NO_ROUTES),
        ("proxy_refusal_ratio", REFUSALS),
        ("proxy_page_ratio", PAGES),
    ],
)
def test_each_way_of_an_answer_in_the_processor_s_place_is_drawn(fault: str, ways: object) -> None:
    assert {drawn_fault.intercepted for drawn_fault in drawn_faults(dice(**{fault: 1}))} == set(ways)  # type: ignore[call-overload]


def test_a_client_that_was_answered_by_a_proxy_sees_nothing_of_the_charge_behind_it() -> None:
    drawn = drawn_faults(dice(proxy_error_ratio=1, lost_answer_ratio=1, close_ratio=1, failure_ratio=0.5))
    assert {(drawn_fault.ending, drawn_fault.closes) for drawn_fault in drawn} == {(Ending.ANSWERED, False)}
    assert {drawn_fault.fails for drawn_fault in drawn} == {False, True}


def test_lookups_are_intercepted_refused_or_sent_to_a_lagging_replica() -> None:
    cast = dice(
        proxy_expired_token_ratio=0.5, lookup_no_route_ratio=0.5, lookup_refused_ratio=0.5, lookup_lag_seconds=4
    )
    drawn = [cast.draw_lookup() for _ in range(1000)]
    assert {drawn_fault.intercepted for drawn_fault in drawn} == {*EXPIRED_TOKENS, *LOOKUP_NO_ROUTES}
    assert {drawn_fault.refused for drawn_fault in drawn} == {False, True}
    assert (
        0
        <= min(drawn_fault.lag_seconds for drawn_fault in drawn)
        < 2
        < max(drawn_fault.lag_seconds for drawn_fault in drawn)
        < 4
    )


def test_a_404_in_the_provider_s_own_form_comes_from_no_intermediary() -> None:
    assert Form.EMPTY not in {way.form for way in LOOKUP_NO_ROUTES}


def test_lookups_do_not_shift_what_is_drawn_for_payments() -> None:
    alone = drawn_faults(dice(failure_ratio=0.5), 10)
    cast = dice(failure_ratio=0.5)
    cast.draw_lookup()
    cast.draw_health_503()
    assert drawn_faults(cast, 10) == alone


def test_a_ratio_is_the_share_that_is_struck() -> None:
    struck = sum(drawn_fault.fails for drawn_fault in drawn_faults(dice(failure_ratio=0.25), 10_000))
    assert 2300 < struck < 2700


def test_the_three_endings_keep_their_shares_beside_each_other() -> None:
    drawn = [
        drawn_fault.ending
        for drawn_fault in drawn_faults(
            dice(lost_answer_ratio=0.5, error_after_charge_ratio=0.25, garbage_ratio=0.25), 10_000
        )
    ]
    assert Ending.ANSWERED not in drawn
    assert 4700 < drawn.count(Ending.LOST) < 5300
    assert 2300 < drawn.count(Ending.ERROR) < 2700


def test_jitter_stays_below_its_bound_and_reaches_both_halves() -> None:
    drawn = [drawn_fault.jitter_ms for drawn_fault in drawn_faults(dice(jitter_ms=50))]
    assert 0 <= min(drawn) < 25 < max(drawn) < 50


def test_the_same_seed_draws_the_same_faults() -> None:
    cast = dice(seed=7, failure_ratio=0.5, jitter_ms=10)
    first = drawn_faults(cast)
    cast.change({"seed": 7})
    assert drawn_faults(cast) == first
    cast.change({"seed": 8})
    assert drawn_faults(cast) != first


def test_a_second_fault_does_not_shift_the_first() -> None:
    alone = [drawn_fault.fails for drawn_fault in drawn_faults(dice(failure_ratio=0.5))]
    beside = [drawn_fault.fails for drawn_fault in drawn_faults(dice(failure_ratio=0.5, jitter_ms=10, close_ratio=0.5))]
    assert alone == beside


def test_faults_left_out_stay_as_they_are() -> None:
    cast = dice(failure_ratio=0.5, seed=7)
    cast.change({"jitter_ms": 3})
    assert cast.as_dict()["failure_ratio"] == 0.5
    assert cast.as_dict()["jitter_ms"] == 3
    assert cast.as_dict()["seed"] == 7


@pytest.mark.parametrize(
    "changes",
    [
        [],
        None,
        {"unknown": 1},
        {"failure_ratio": 1.1},
        {"failure_ratio": -0.1},
        {"failure_ratio": True},
        {"failure_ratio": "1"},
        {"failure_ratio": None},
        {"jitter_ms": 60_001},
        {"jitter_ms": float("nan")},
        {"seed": None},
        {"seed": 0.5},
        {"seed": -1},
        {"seed": 1 << 63},
        {"lost_answer_ratio": 0.6, "garbage_ratio": 0.6},
        {"proxy_error_ratio": 0.6, "proxy_page_ratio": 0.6},
        {"proxy_expired_token_ratio": 0.6, "lookup_no_route_ratio": 0.6},
        {"lookup_lag_seconds": 60.5},
    ],
)
def test_bad_faults_are_refused_and_change_nothing(changes: Any) -> None:
    cast = dice(failure_ratio=0.5)
    before = cast.as_dict()
    with pytest.raises(BadFaultsError):
        cast.change(changes)
    assert cast.as_dict() == before
