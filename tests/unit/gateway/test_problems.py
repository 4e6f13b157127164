"""What a client is told when its request is not served."""

import contextlib
import json
from collections.abc import Callable, Iterator
from http import HTTPStatus

import pytest

from tollgate.gateway.problems import Problem, invalid, malformed, unavailable


@pytest.mark.parametrize(
    ("make", "status", "title"),
    [
        (malformed, 400, "Bad Request"),
        (invalid, 422, HTTPStatus(422).phrase),
        (unavailable, 503, "Service Unavailable"),
        (lambda detail: Problem(HTTPStatus.CONFLICT, detail), 409, "Conflict"),
    ],
)
def test_a_problem_is_told_in_the_members_of_rfc_9457(make: Callable[[str], Problem], status: int, title: str) -> None:
    problem = make('it "broke": é')
    assert json.loads(problem.body()) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": 'it "broke": é',
    }


def test_a_problem_is_raised_and_caught_as_itself() -> None:
    problem = malformed("why")
    with pytest.raises(Problem) as caught:
        raise problem
    assert caught.value is problem
    assert "why" in str(problem)


def test_a_problem_passes_through_a_context_manager_as_itself() -> None:
    @contextlib.contextmanager
    def span() -> Iterator[None]:
        yield

    def fail() -> None:
        with span():
            raise malformed("why")

    with pytest.raises(Problem):
        fail()
