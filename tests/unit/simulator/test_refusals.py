from pathlib import Path

from tollgate.simulator.order import correlation_id_of
from tollgate.simulator.refusals import Refusals

KEY, OTHER = b"k" * 16, b"o" * 16


def test_a_refusal_is_kept_once_and_found_again_after_a_kill(tmp_path: Path) -> None:
    first = Refusals(10, tmp_path / "refused")
    assert first.add(KEY)
    assert first.add(KEY)
    again = Refusals(10, tmp_path / "refused")
    assert list(again) == [correlation_id_of(KEY)]
    again.clear()
    assert list(Refusals(10, tmp_path / "refused")) == []


def test_what_there_is_no_room_to_keep_is_not_refused() -> None:
    refusals = Refusals(1, None)
    assert refusals.add(KEY)
    assert not refusals.add(OTHER)
    assert refusals.add(KEY)
