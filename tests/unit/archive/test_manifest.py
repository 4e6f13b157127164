"""Manifests and their chain."""

from dataclasses import replace

import pytest

from tollgate.archive.errors import ArchiveError
from tollgate.archive.manifest import FILES, FIRST, Manifest, Stretch, check_chain, decode, encode, name_of

DIGEST = "a" * 64


def manifest(first: int, last: int, previous: str = FIRST, log: str = "one") -> Manifest:
    return Manifest(log, first, last, first * 1_000, last * 1_000, 1, dict.fromkeys(FILES, DIGEST), previous)


def chain(*ends: tuple[int, int]) -> list[Stretch]:
    stretches: list[Stretch] = []
    for first, last in ends:
        previous = stretches[-1].digest if stretches else FIRST
        stretches.append(decode(encode(manifest(first, last, previous))))
    return stretches


def test_a_manifest_is_read_as_it_was_written() -> None:
    written = manifest(3, 9)
    assert decode(encode(written)).manifest == written
    assert written.messages == 7


def test_names_are_in_the_order_of_the_log() -> None:
    sequences = [1, 9, 10, 99, 1_000_000, 2**63 - 1]
    assert sorted(map(name_of, sequences)) == [name_of(one) for one in sequences]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        encode(manifest(3, 9)).replace(b'"format": 1', b'"format": 2'),
        encode(manifest(3, 9)).replace(b'"messages": 7', b'"messages": 8'),
        encode(manifest(3, 9)).replace(FILES[0].encode(), b"other.parquet"),
        encode(manifest(9, 3)),
        encode(replace(manifest(3, 9), previous="short")),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ArchiveError):
        decode(content)


def test_a_chain_without_a_fault_is_accepted() -> None:
    check_chain([])
    check_chain(chain((4, 6), (7, 7), (8, 100)))


def test_a_stretch_that_is_missing_is_named() -> None:
    stretches = chain((1, 3), (4, 6), (7, 9))
    with pytest.raises(ArchiveError, match="lacks what is between 3 and 7"):
        check_chain([stretches[0], stretches[2]])
    with pytest.raises(ArchiveError, match="lacks what is before 4"):
        check_chain(stretches[1:])


def test_a_changed_manifest_is_named_by_the_next_one() -> None:
    first, second, third = chain((1, 3), (4, 6), (7, 9))
    changed = decode(encode(replace(second.manifest, settled=2)))
    with pytest.raises(ArchiveError, match=f"the manifest of the stretch {name_of(4)} was changed"):
        check_chain([first, changed, third])


def test_a_stretch_of_another_log_is_named() -> None:
    first = decode(encode(manifest(1, 3)))
    with pytest.raises(ArchiveError, match="another log from 4 on"):
        check_chain([first, decode(encode(manifest(4, 6, first.digest, log="two")))])
