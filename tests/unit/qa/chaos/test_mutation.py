from pathlib import Path

import pytest

from qa.chaos.check import COLUMNS
from qa.chaos.mutate import Caught
from qa.chaos.mutation import SERVICES, Mutation, Replacement, StaleMutationError, catalogue, mutated_copy
from qa.chaos.result import Result


@pytest.mark.parametrize("mutation", catalogue(), ids=lambda mutation: mutation.name)
def test_a_mutation_still_finds_what_it_breaks(mutation: Mutation) -> None:
    changed = mutation.changed(SERVICES)
    for one in mutation.replacements:
        assert one.new in changed[SERVICES / one.file]
    assert set(mutation.caught_by) <= COLUMNS.keys()
    assert bool(mutation.caught_by) != bool(mutation.protected_by)


@pytest.mark.parametrize("text", ["", "twice twice"])
def test_a_text_that_does_not_occur_exactly_once_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "core.py").write_text(text)
    with pytest.raises(StaleMutationError, match=r"stale: found \d times in core\.py"):
        Mutation("stale", "", (Replacement("core.py", "twice", "thrice"),), ()).changed(tmp_path)


def test_replacements_of_one_file_add_up(tmp_path: Path) -> None:
    (tmp_path / "core.py").write_text("a = 1\nb = 2\n")
    mutation = Mutation("m", "", (Replacement("core.py", "1", "3"), Replacement("core.py", "2", "4")), ())
    assert mutation.changed(tmp_path) == {tmp_path / "core.py": "a = 3\nb = 4\n"}


def test_the_copy_is_broken_and_the_product_is_not(tmp_path: Path) -> None:
    mutation = catalogue()[0]
    one = mutation.replacements[0]
    copy = mutated_copy(mutation, tmp_path)
    assert one.new in (copy / one.file).read_text()
    assert one.old in (SERVICES / one.file).read_text()


def test_a_mutation_that_nothing_caught_is_a_failure_unless_another_rule_protects() -> None:
    clean, twice = Result(1, 12), Result(2, 12, columns={"charged twice": 1})
    unseen = Caught(Mutation("m", "", (), ("charged twice",)))
    unseen.add(clean)
    assert not unseen.as_expected
    assert unseen.shown_by == "NOT CAUGHT"
    unseen.add(twice)
    assert unseen.as_expected
    assert (unseen.caught, unseen.runs, unseen.shown_by) == (1, 2, "charged twice (1)")
    protected = Caught(Mutation("m", "", (), (), "the other rule"))
    protected.add(clean)
    assert protected.as_expected
    assert protected.shown_by == "the other rule"
