"""The filter finds every added id, in a fixed size, and rarely one that was not added while it has room."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.runtime.id_filter import IdFilter

SIZE = 1 << 16


def ids(count: int, *, first: int = 0) -> list[str]:
    """Ids that differ in their last digits only, as some clients choose them."""
    return [str(UUID(int=(1 << 127) + first + number)) for number in range(count)]


@given(st.lists(st.uuids().map(str), unique=True, max_size=50), st.integers(1, 300))
def test_an_added_id_is_always_found_in_a_filter_of_any_size(added: list[str], size_bytes: int) -> None:
    known = IdFilter(size_bytes)
    for one in added:
        known.add(one)
    assert all(one in known for one in added)
    assert len(known.part(0, 2 * size_bytes)) == size_bytes


@pytest.mark.parametrize(("ids_for_byte", "share_max"), [(0.25, 0.001), (1, 0.035), (2, 0.18)])
def test_false_positives_stay_under_the_documented_share(ids_for_byte: float, share_max: float) -> None:
    known = IdFilter(SIZE)
    for one in ids(int(SIZE * ids_for_byte)):
        known.add(one)
    others = ids(10_000, first=10**9)
    assert sum(one in known for one in others) <= share_max * len(others)


def test_a_filter_that_is_full_still_finds_all_of_its_ids() -> None:
    known, added = IdFilter(64), ids(5_000)
    for one in added:
        known.add(one)
    assert all(one in known for one in added)


def test_a_cleared_filter_is_empty() -> None:
    known, added = IdFilter(SIZE), ids(500)
    for one in added:
        known.add(one)
    known.clear()
    assert not any(one in known for one in added)


def test_the_parts_of_a_filter_make_it_again_and_keep_what_the_other_had() -> None:
    theirs, ours = IdFilter(1_000), IdFilter(1_000)
    for one in ids(100):
        theirs.add(one)
    for one in ids(100, first=500):
        ours.add(one)
    for begin in range(0, 1_000, 300):
        ours.merge(begin, theirs.part(begin, 300))
    assert all(one in ours for one in [*ids(100), *ids(100, first=500)])


@pytest.mark.parametrize("begin", [-1, 998, 2_000])
def test_a_part_out_of_bounds_is_refused(begin: int) -> None:
    with pytest.raises(ValueError, match="of a filter"):
        IdFilter(1_000).merge(begin, b"abc")
