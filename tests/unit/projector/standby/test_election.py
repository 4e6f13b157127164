"""Of the projectors that hear each other, one answers; a better one takes over, and a silent one is replaced."""

from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.projector_presence import Presence
from tollgate.projector.standby.election import MISSED_ROUNDS, Election

A, B = "a", "b"


def test_one_alone_answers_at_once_also_while_it_catches_up() -> None:
    election = Election(A)
    election.hear([Presence(A, is_current=False, is_active=False)])
    assert election.is_won


def test_one_that_starts_beside_another_follows() -> None:
    election = Election(B)
    election.hear([Presence(B, is_current=True, is_active=False), Presence(A, is_current=True, is_active=True)])
    assert not election.is_won


def test_a_silent_one_is_replaced_after_some_rounds_and_not_at_once() -> None:
    election, mine = Election(B), Presence(B, is_current=True, is_active=False)
    election.hear([mine, Presence(A, is_current=True, is_active=True)])
    won = []
    for _ in range(MISSED_ROUNDS):
        election.hear([mine])
        won.append(election.is_won)
    assert won == [False] * (MISSED_ROUNDS - 1) + [True]


def test_one_that_is_behind_gives_way_to_one_that_is_not() -> None:
    election = Election(A)
    election.hear([Presence(A, is_current=False, is_active=True), Presence(B, is_current=True, is_active=False)])
    assert not election.is_won


def test_a_round_in_which_nobody_was_heard_changes_nothing() -> None:
    """The broker is away, or this process was stopped meanwhile."""
    election = Election(A)
    for _ in range(MISSED_ROUNDS + 1):
        election.hear([])
    assert not election.is_won
    election.hear([Presence(A, is_current=True, is_active=False)])
    for _ in range(MISSED_ROUNDS + 1):
        election.hear([])
    assert election.is_won


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4))
def test_of_those_that_hear_each_other_exactly_one_answers(states: list[tuple[bool, bool]]) -> None:
    heard = [Presence(str(n), is_current=current, is_active=active) for n, (current, active) in enumerate(states)]
    elections = [Election(one.instance) for one in heard]
    for election in elections:
        election.hear(heard)
    assert [election.is_won for election in elections].count(True) == 1
