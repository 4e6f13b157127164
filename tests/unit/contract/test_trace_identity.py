"""The trace of a payment follows from its id, and any share of the ids can be sampled, however clients make them."""

import uuid
from collections.abc import Callable

import pytest

from tollgate.contract.trace_identity import is_sampled, rejection_threshold, trace_of, trace_state

IDS = 4_000


def sequential(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def of_one_machine(number: int) -> str:
    """As version 1 makes them: the last 64 bits are the same for all."""
    return f"{number:08x}-0000-11ee-8000-0242ac120002"


def random(number: int) -> str:
    del number
    return str(uuid.uuid4())


@pytest.mark.parametrize("make", [random, sequential, of_one_machine])
@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.5, 0.75])
def test_the_share_of_sampled_payments_is_as_asked_however_ids_are_made(
    make: Callable[[int], str], ratio: float
) -> None:
    threshold = rejection_threshold(ratio)
    sampled = sum(is_sampled(make(number), threshold) for number in range(IDS))
    # Six standard deviations.
    assert abs(sampled - IDS * ratio) < 6 * (IDS * ratio * (1 - ratio)) ** 0.5


def test_what_a_lower_share_samples_a_higher_one_samples_too() -> None:
    low, high = rejection_threshold(0.1), rejection_threshold(0.3)
    ids = [random(number) for number in range(IDS)]
    assert {one for one in ids if is_sampled(one, low)} < {one for one in ids if is_sampled(one, high)}


def test_all_are_sampled_at_one_and_none_at_zero_and_the_id_of_zeros_never() -> None:
    ids = [sequential(number) for number in range(IDS)]
    assert all(is_sampled(one, rejection_threshold(1)) for one in ids)
    assert not any(is_sampled(one, rejection_threshold(0)) for one in ids)
    assert not is_sampled(str(uuid.UUID(int=0)), rejection_threshold(1))


def test_ids_and_trace_state_are_those_that_every_other_program_computes() -> None:
    # sha256sum of the 16 bytes: 8576f88f5dab7e527111ec99cf3ceaaef38d946ab0fde1352028631651e1727d
    trace = trace_of("4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3")
    assert f"{trace.trace_id:032x}" == "4a7901b87d264d9daa194dc1c7cf60b3"
    assert f"{trace.root_span_id:016x}" == "8576f88f5dab7e52"
    assert trace_state(trace, rejection_threshold(0.5)) == "th:8;rv:28631651e1727d"
    assert trace_state(trace, rejection_threshold(1)) == "th:0;rv:28631651e1727d"
