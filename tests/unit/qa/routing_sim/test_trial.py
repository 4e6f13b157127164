"""The product's router on a few scenarios, against the best possible: its profit is a promise."""

from functools import cache

import pytest

from qa.routing_sim.report import Row, run
from qa.routing_sim.scenario import ADVERSARIAL, FINAL, PREVIEW, Scenario, Stage, Weather, random_scenario
from tollgate.processor.routing import Policy

POLICY = Policy(concurrency_max=400)


@cache
def rows(name: str) -> dict[str, Row]:
    scenario = next(one for one in (PREVIEW, FINAL, *ADVERSARIAL) if one.name == name)
    names = ["tollgate", "fallback on failure", *(["the winner's rule"] if scenario in (PREVIEW, FINAL) else [])]
    return {row.strategy: row for row in run(scenario, POLICY, 1, names, scale=0.1)}


@pytest.mark.parametrize("name", ["preview", "final"])
def test_the_benchmark_s_scenarios_are_charged_whole_near_the_best_possible_and_ahead_of_its_winner(name: str) -> None:
    tollgate = rows(name)["tollgate"]
    assert tollgate.result.lag == 0
    assert tollgate.result.charged_twice == 0
    assert tollgate.share_at_bell >= 0.97
    assert tollgate.result.bell_profit_cents > rows(name)["the winner's rule"].result.bell_profit_cents


@pytest.mark.parametrize("name", ["flapping", "taking turns", "default never", "both away", "slow failures"])
def test_adversarial_scenarios_are_charged_whole_near_the_best_possible(name: str) -> None:
    tollgate = rows(name)["tollgate"]
    assert tollgate.result.lag == 0
    assert tollgate.share >= 0.95


def test_a_timeout_that_sends_payments_elsewhere_charges_twice_and_the_router_never_does() -> None:
    (hasty,) = run(PREVIEW, POLICY, 1, ["fallback after 300 ms"], scale=0.1)
    assert hasty.result.charged_twice > 0
    assert rows("preview")["tollgate"].result.charged_twice == 0


def test_little_is_wasted_on_a_processor_that_is_down() -> None:
    assert rows("default never")["tollgate"].result.wasted_calls < 150
    assert rows("default never")["fallback on failure"].result.wasted_calls > 1_000


def test_no_payment_waits_much_longer_than_its_patience() -> None:
    result = rows("default never")["tollgate"].result
    assert POLICY.patience_seconds - 1 < result.settle_seconds_max < POLICY.patience_seconds + 5


def test_with_both_down_hardly_anything_is_delivered_again_and_the_rest_stays_in_the_queue() -> None:
    result = rows("both away")["tollgate"].result
    assert result.deliveries < result.payments * 1.2
    assert result.lag == 0


def test_the_same_seed_replays_the_same_scenario() -> None:
    scenario = Scenario(
        "short", 10, (20, 60), 1990, (Stage(0, Weather(0.05), Weather(0)), Stage(5, Weather(2, True), Weather(0.1)))
    )
    first, again = (run(scenario, POLICY, 7, ["tollgate"])[0].result for _ in range(2))
    assert first == again


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_random_scenarios_come_near_the_best_possible(seed: int) -> None:
    (row,) = run(random_scenario(seed), POLICY, seed, ["tollgate"], scale=0.1)
    assert row.share >= 0.95


def test_no_strategy_earns_more_than_the_bound() -> None:
    for name in ("preview", "final", "both away"):
        assert all(row.share <= 1.0001 for row in rows(name).values())
