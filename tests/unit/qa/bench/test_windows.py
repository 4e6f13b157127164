from qa.bench.windows import Compared, figures_of


def test_windows_with_too_many_too_few_and_no_answer_are_counted_apart() -> None:
    found = figures_of([Compared(2.0, number, 5.0) for number in (0, 3, -2, None, 7)])
    assert {
        name: found[name] for name in ("windows", "unanswered", "too many", "… at most", "too few", "… at worst")
    } == {
        "windows": 5,
        "unanswered": 1,
        "too many": 2,
        "… at most": 7,
        "too few": 1,
        "… at worst": -2,
    }
    assert found["sum of differences"] == 12
