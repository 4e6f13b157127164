"""The Bloom set finds every added id, and rarely one that was not added."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.runtime.bloom_set import FALSE_POSITIVES, BloomSet

CAPACITY = 64


def ids(count: int, *, first: int = 0) -> list[str]:
    return [
        str(UUID(int=0x9E3779B97F4A7C15F39CC0605CEDC834 * (first + number + 1) % 2**128)) for number in range(count)
    ]


@pytest.fixture
def small() -> BloomSet:
    """One whose first filter is full soon."""
    return BloomSet(CAPACITY)


@given(st.lists(st.uuids().map(str), unique=True, max_size=50))
def test_an_added_id_is_always_found(added: list[str]) -> None:
    payments = BloomSet()
    for position, one in enumerate(added):
        payments.add(one)
        assert all(known in payments for known in added[: position + 1])


def test_a_new_set_is_empty() -> None:
    payments = BloomSet()
    assert not any(one in payments for one in ids(2_000))


@pytest.mark.parametrize("count", [CAPACITY - 1, CAPACITY, CAPACITY + 1, 3 * CAPACITY, 3 * CAPACITY + 1, 20 * CAPACITY])
def test_no_id_is_lost_when_the_set_grows_beyond_its_first_capacity(small: BloomSet, count: int) -> None:
    added = ids(count)
    for one in added:
        small.add(one)
    assert all(one in small for one in added)


def test_each_further_filter_holds_twice_as_many(small: BloomSet) -> None:
    filters = []
    for number, one in enumerate(ids(15 * CAPACITY), start=1):
        small.add(one)
        if number in (CAPACITY, CAPACITY + 1, 3 * CAPACITY, 3 * CAPACITY + 1, 7 * CAPACITY + 1, 15 * CAPACITY):
            filters.append(len(small._filters))
    assert filters == [1, 2, 2, 3, 4, 4]


def test_false_alarms_stay_rare_as_it_grows(small: BloomSet) -> None:
    for one in ids(15 * CAPACITY):
        small.add(one)
    asked = 20_000
    false_alarms = sum(one in small for one in ids(asked, first=10**6))
    assert false_alarms <= 5 * len(small._filters) * FALSE_POSITIVES * asked


def test_a_cleared_set_is_empty_and_has_its_first_capacity(small: BloomSet) -> None:
    before = ids(5 * CAPACITY)
    for one in before:
        small.add(one)
    small.clear()
    assert not any(one in small for one in before)
    after = ids(CAPACITY, first=10**6)
    for one in after:
        small.add(one)
    assert all(one in small for one in after)
    assert len(small._filters) == 1
    small.add(ids(1, first=2 * 10**6)[0])
    assert len(small._filters) == 2
