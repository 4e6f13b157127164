import pytest

from qa.load.kills import Kill, Poll, plan_kills, recovered_after_seconds, recovering

PROGRAMS = ["gateway-1", "processor", "projector", "nats"]


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan_kills(PROGRAMS, 60, seed=3) == plan_kills(PROGRAMS, 60, seed=3)
    assert plan_kills(PROGRAMS, 60, seed=3) != plan_kills(PROGRAMS, 60, seed=4)


@pytest.mark.parametrize("seed", range(20))
def test_each_program_is_killed_once_and_in_the_middle_of_the_run(seed: int) -> None:
    plan = plan_kills(PROGRAMS, 100, seed)
    moments = [planned.at_seconds for planned in plan]
    assert sorted(planned.program for planned in plan) == sorted(PROGRAMS)
    assert moments == sorted(moments)
    for slot, moment in enumerate(moments):
        assert 20 + 15 * slot <= moment <= 35 + 15 * slot


def test_nothing_to_kill_is_no_plan() -> None:
    assert plan_kills([], 60, seed=1) == []


def polls(*equal: bool) -> list[Poll]:
    return [Poll(number * 0.25, value) for number, value in enumerate(equal)]


@pytest.mark.parametrize(
    ("answers", "seconds"),
    [
        ((True, True), 0.0),
        ((True, False, True, True), 0.5),
        ((False, False), None),
        ((True, True, False), None),
        ((), None),
    ],
)
def test_recovered_is_the_first_equal_answer_that_no_other_followed(
    answers: tuple[bool, ...], seconds: float | None
) -> None:
    assert recovered_after_seconds(polls(*answers)) == seconds


@pytest.mark.parametrize(
    ("asked", "answered", "healing"), [(4.0, 4.9, False), (4.0, 5.1, True), (14.9, 15.2, True), (15.1, 15.2, False)]
)
def test_a_kill_excuses_ten_seconds(asked: float, answered: float, *, healing: bool) -> None:
    assert recovering(asked, answered, [Kill("nats", 5.0, (1,))]) is healing


def test_a_kill_that_did_not_happen_excuses_nothing() -> None:
    assert not recovering(5.0, 5.1, [Kill("nats", 5.0, ())])
