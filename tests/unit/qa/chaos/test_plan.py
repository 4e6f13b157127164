from dataclasses import fields
from itertools import pairwise

import pytest

from qa.chaos.mutation import catalogue
from qa.chaos.plan import CLOCKS, LINKS, PROGRAMS, RECIPES, SIMULATORS, clock_plan, plan
from tollgate.simulator.faults import Faults

SECONDS = 12.0


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(3, SECONDS) == plan(3, SECONDS)
    assert plan(3, SECONDS) != plan(4, SECONDS)


@pytest.mark.parametrize("seed", range(50))
def test_every_fault_has_a_target_and_ends_in_time(seed: int) -> None:
    chosen = plan(seed, SECONDS)
    moments = [fault.at_seconds for fault in chosen.faults]
    assert moments == sorted(moments)
    for fault in chosen.faults:
        assert 0 < fault.at_seconds < SECONDS
        assert fault.at_seconds + fault.seconds <= SECONDS + 1e-9
        assert (fault.seconds == 0) == (fault.kind == "kill")
        known = {"kill": PROGRAMS, "stop": PROGRAMS, "link": LINKS, "processor": SIMULATORS}[fault.kind]
        assert fault.target in known
        assert fault.target in str(fault)


def test_every_program_and_every_link_is_hit_by_some_seed() -> None:
    hit = {(fault.kind, fault.target) for seed in range(120) for fault in plan(seed, SECONDS).faults}
    assert {("kill", program) for program in PROGRAMS} <= hit
    assert {("stop", program) for program in PROGRAMS} <= hit
    assert {("link", link) for link in LINKS} <= hit


def test_every_clock_is_set_forward_and_back_beside_everything_else() -> None:
    chosen = [clock_plan(seed, SECONDS) for seed in range(20)]
    steps = [fault for one in chosen for fault in one.faults if fault.kind == "clock"]
    assert {(step.target, step.offset_seconds > 0) for step in steps} == {
        (target, ahead) for target in CLOCKS for ahead in (False, True)
    }
    assert all(0 < step.at_seconds < step.at_seconds + step.seconds <= SECONDS + 1e-9 for step in steps)
    for one in chosen:
        assert tuple(fault for fault in one.faults if fault.kind != "clock") == plan(one.seed, SECONDS).faults


def test_there_is_a_fault_at_least_every_second() -> None:
    for seed in range(20):
        moments = [fault.at_seconds for fault in plan(seed, SECONDS).faults]
        assert max(later - earlier for earlier, later in pairwise(moments)) < 1.0


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_focus_leaves_each_recipe_undisturbed(recipe: str) -> None:
    faults = plan(1, 30.0, [recipe]).faults
    assert faults
    ends = [0.0]
    for fault in faults:
        # Only faults of the same drawing overlap.
        if fault.at_seconds > ends[-1] + 0.4:
            ends.append(fault.at_seconds + fault.seconds)
        ends[-1] = max(ends[-1], fault.at_seconds + fault.seconds)
    assert len(ends) > 2


def test_a_replica_lags_only_where_a_404_proves_nothing() -> None:
    plans = [plan(seed, SECONDS) for seed in range(60)]
    lagging = [one for one in plans if one.traits["lookup_lag_seconds"]]
    assert len(lagging) == 20
    assert {one.contract for one in lagging} == {"strict"}
    assert {one.contract for one in plans if one not in lagging} == {"contest"}
    assert not any("lookup_lag_seconds" in fault.mood for one in plans for fault in one.faults)


def test_moods_name_faults_that_there_are() -> None:
    known = {one.name for one in fields(Faults)} | {"delay_ms", "failing", "closed"}
    assert {name for seed in range(60) for fault in plan(seed, SECONDS).faults for name in fault.mood} <= known


def test_mutations_focus_on_recipes_that_there_are() -> None:
    assert {name for mutation in catalogue() for name in mutation.focus} <= RECIPES.keys()
