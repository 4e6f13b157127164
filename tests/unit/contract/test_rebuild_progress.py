import pytest

from tollgate.contract.rebuild_progress import RebuildProgress, progress_in


@pytest.mark.parametrize("progress", [RebuildProgress(), RebuildProgress(3, 1, 6.0), RebuildProgress(4, 0, 7.5, True)])
def test_samples_carry_the_progress(progress: RebuildProgress) -> None:
    assert progress_in(progress.samples()) == progress


def test_share_and_time_left_follow_from_what_is_read() -> None:
    progress = RebuildProgress(read=300, left=100, seconds=6.0)
    assert (progress.share, progress.seconds_left) == (0.75, 2.0)


def test_before_the_first_message_the_time_left_is_unknown() -> None:
    assert RebuildProgress(left=100).seconds_left is None
    assert RebuildProgress().share == 0.0


def test_while_it_compares_all_is_read() -> None:
    assert RebuildProgress(read=0, left=0, is_comparing=True).share == 1.0
