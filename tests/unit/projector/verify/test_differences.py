from tollgate.projector.verify.differences import Difference, Differences

ONE = Difference("missing", "id-1", "default", "19.90")


def test_the_same_difference_is_counted_once_however_it_is_found() -> None:
    differences = Differences(named_max=5)
    differences.add(ONE)
    differences.add(Difference("missing", "id-1", "default", "19.90, looked up again"))
    differences.add(Difference("missing", "id-1", "fallback", ""))
    assert (differences.count, len(differences.named)) == (2, 2)


def test_differences_without_a_payment_are_distinguished_by_their_text() -> None:
    differences = Differences(named_max=5)
    for detail in ("+1 charges", "+1 charges", "+2 charges"):
        differences.add(Difference("more", None, "default", detail))
    assert differences.count == 2


def test_beyond_the_bound_they_are_only_counted() -> None:
    differences = Differences(named_max=1)
    for number in range(3):
        differences.add(Difference("missing", f"id-{number}", None, ""))
    differences.add_unnamed("missing", 4)
    assert (differences.count, [one.correlation_id for one in differences.named]) == (7, ["id-0"])


def test_a_difference_is_one_line() -> None:
    assert str(ONE) == "missing (default): id-1, 19.90"
    assert str(Difference("more", None, "default", "+1")) == "more (default): +1"
    assert str(Difference("missing", "id-1", None, "")) == "missing: id-1"
