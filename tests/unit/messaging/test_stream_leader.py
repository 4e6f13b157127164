"""A leader that a majority may no longer follow is not believed."""

import pytest

from tollgate.messaging.stream_leader import doubt_about

SECOND = 1_000_000_000


def info(*active: int, leader: str = "nats-1") -> dict[str, object]:
    return {"cluster": {"leader": leader, "replicas": [{"active": one} for one in active]}}


@pytest.mark.parametrize(
    "certain", [{}, {"cluster": {"leader": "nats-1"}}, info(SECOND, SECOND), info(1, 60 * SECOND), info(0, SECOND)]
)
def test_the_answer_of_one_broker_or_of_a_leader_that_hears_a_majority_is_certain(certain: dict[str, object]) -> None:
    assert doubt_about(certain) is None


@pytest.mark.parametrize(
    "doubtful",
    [
        info(3 * SECOND, 60 * SECOND),
        info(0, 0),
        info(SECOND, SECOND, leader=""),
        info(SECOND, 9 * SECOND, 9 * SECOND, 9 * SECOND),
        info(SECOND, 3 * SECOND, 3 * SECOND),
    ],
)
def test_one_that_others_may_have_replaced_is_not(doubtful: dict[str, object]) -> None:
    assert doubt_about(doubtful) is not None
