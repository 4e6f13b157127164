"""The plan of a run on three brokers, and the time without acceptances."""

from itertools import pairwise

import pytest

from qa.chaos.cluster import (
    AROUND,
    BROKERS,
    CLIENT_LINKS,
    CLUSTER_PROGRAMS,
    CLUSTER_RECIPES,
    LEADER,
    ROLLING_ORDER,
    ROUTE_LINKS,
    ROUTES,
    cluster_plan,
    rolling_plan,
)
from qa.chaos.gaps import gaps_after
from qa.chaos.history import Request, Try
from qa.chaos.plan import CHARGES, EDGES, LOGS, PROCESSORS, SIMULATORS

SECONDS = 20.0
LINK_TARGETS = {
    *(f"{broker}-{which}" for broker in (LEADER, *BROKERS) for which in (ROUTES, AROUND)),
    *EDGES,
    *CHARGES,
    *LOGS,
}


@pytest.mark.parametrize("seed", range(30))
def test_every_fault_has_a_target_in_the_cluster_and_ends_in_time(seed: int) -> None:
    chosen = cluster_plan(seed, SECONDS)
    programs = {*CLUSTER_PROGRAMS, LEADER}
    for fault in chosen.faults:
        known = {"kill": programs, "stop": programs, "link": LINK_TARGETS, "processor": {*SIMULATORS}}[fault.kind]
        assert fault.target in known
        assert fault.at_seconds + fault.seconds <= SECONDS + 1e-9
    assert cluster_plan(seed, SECONDS) == chosen


def test_every_run_harms_a_broker_or_a_projector_beside_the_other_faults() -> None:
    for seed in range(30):
        targets = {fault.target.partition("-")[0] for fault in cluster_plan(seed, SECONDS).faults}
        assert targets & {LEADER, "nats", "projector"}
        assert targets - {LEADER, "nats", "projector"}


@pytest.mark.parametrize("recipe", CLUSTER_RECIPES)
def test_a_focus_leaves_time_for_an_election(recipe: str) -> None:
    moments = sorted({fault.at_seconds for fault in cluster_plan(1, 60.0, [recipe]).faults})
    assert len(moments) > 1
    assert all(later - earlier > 9 for earlier, later in pairwise(moments))


def test_each_broker_is_reached_by_links_that_can_be_cut() -> None:
    for broker in BROKERS:
        assert sum(broker in ends for ends in ROUTE_LINKS.values()) == 4
        assert {program for program, one in CLIENT_LINKS.values() if one == broker} >= {*PROCESSORS, "projector-2"}


def test_an_update_restarts_every_program_of_ours_once_brokers_first() -> None:
    faults = rolling_plan(1).faults
    assert tuple(fault.target for fault in faults) == ROLLING_ORDER
    assert {fault.kind for fault in faults} == {"restart"}


def test_the_longest_pause_between_acceptances_after_a_fault_is_found() -> None:
    seconds = (0.0, 1.0, 1.2, 6.0, 6.1, 40.0)
    requests = [Request("a", 1, "first", [Try(0, int(at * 1e6), 202)], "ok") for at in seconds]
    refused = Request("b", 1, "first", [Try(0, 3_000_000, 503)])
    assert gaps_after([1_100_000, 8_000_000], [*requests, refused]) == [4.8, 33.9]
