"""A window is cut into whole seconds and ragged ends, without a gap and without an overlap."""

from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.timestamps import MICROSECONDS
from tollgate.projector.live.projection import SettledRow
from tollgate.projector.live.rollup import CHUNK_SEQUENCES, Window, partials

near = st.integers(-3 * MICROSECONDS, 3 * MICROSECONDS) | st.sampled_from(
    [second * MICROSECONDS + off for second in (-2, -1, 0, 1, 2) for off in (-1, 0, 1)]
)


@given(st.none() | near, st.none() | near, near)
def test_every_moment_of_a_window_is_in_exactly_one_of_its_parts_and_no_other_is_in_any(
    from_us: int | None, to_us: int | None, moment_us: int
) -> None:
    is_inside = (from_us is None or moment_us >= from_us) and (to_us is None or moment_us <= to_us)
    cut: dict[str, int] = Window(from_us, to_us).parameters  # type: ignore[assignment]
    parts = [
        cut["first_second"] <= moment_us // MICROSECONDS <= cut["last_second"],
        cut["from_us"] <= moment_us <= cut["head_last_us"],
        cut["tail_first_us"] <= moment_us <= cut["to_us"],
    ]
    if from_us is not None and to_us is not None and from_us > to_us:
        assert not any(parts)
    else:
        assert sum(parts) == is_inside


def test_partials_count_by_second_and_chunk_and_processor() -> None:
    def row(stamp_us: int, sequence: int, amount_cents: int) -> SettledRow:
        return SettledRow("x", "default", amount_cents, stamp_us, 0, 1, [1, sequence])

    rows = [row(999_999, 5, 1), row(1_000_000, 6, 2), row(0, 7, 4), row(0, CHUNK_SEQUENCES, 8), row(-1, 9, 16)]
    assert partials(rows) == [
        (-1, 0, "default", 1, 16),
        (0, 0, "default", 2, 5),
        (0, 1, "default", 1, 8),
        (1, 0, "default", 1, 2),
    ]
