"""The index finds by id what a scan of the rows finds, whatever happened to its file."""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.contract.events import PROVIDERS
from tollgate.projector.live import id_index
from tollgate.projector.live import store as store_module
from tollgate.projector.live.ended_payment import EndedPayment
from tollgate.projector.live.files import discard_index, index_of
from tollgate.projector.live.projection import Change, Cleared, RejectedRow, SettledRow
from tollgate.projector.live.store import Checkpoint, Store

RESERVED_BYTES_AT = 20
"""Where the file holds how many bytes of each page are a checksum."""
IDS = [str(UUID(int=number << 97)) for number in range(12)]


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    """So small that some payments are in memory, some are being written, and some are in the file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_index, "INDEX_BATCH", 3)
        patch.setattr(store_module, "SORTED_AT_ONCE", 2)
        yield


def settled(correlation_id: str, sequence: int) -> SettledRow:
    return SettledRow(correlation_id, PROVIDERS[sequence % 2], sequence, 7, 8, 1, [sequence - 2, sequence])


def finds_what_a_scan_finds(store: Store) -> bool:
    found = [store._index.find(one) for one in IDS]
    assert found == [store.scan(one) for one in IDS]
    return any(found)


def filled(path: Path, first: int = 1, count: int = 8) -> None:
    """Commits a payment for each of these sequences."""
    with closing(Store.open(path, "log")) as store:
        for sequence in range(first, first + count):
            store.commit([settled(IDS[sequence % len(IDS)], sequence + 10)], Checkpoint(sequence + 10, 1))


@given(
    st.sampled_from(["processed", "rejected"]),
    st.integers(1, 10**15),
    st.sampled_from(PROVIDERS),
    st.lists(st.integers(1, 2**50), min_size=1, max_size=64, unique=True).map(sorted),
)
def test_a_payment_is_read_as_it_was_written(how: str, cents: int, provider: str, sequences: list[int]) -> None:
    ended = EndedPayment(how, cents, provider if how == "processed" else None, sequences)  # type: ignore[arg-type]
    assert EndedPayment.decode(ended.encode()) == ended


kinds = st.sampled_from(["settled"] * 6 + ["rejected"] * 3 + ["purged", "restart", "lost"])


@settings(max_examples=8, deadline=None)
@given(st.lists(st.lists(st.tuples(kinds, st.integers(0, 11)), max_size=6), min_size=3, max_size=6))
def test_the_index_equals_the_scan_after_any_commits_restarts_and_losses(commits: list[list[tuple[str, int]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.duckdb"
        store = Store.open(path, "log")
        sequence = 0
        for commit in commits:
            changes: list[Change] = []
            for kind, number in commit:
                sequence += 3
                if kind == "settled":
                    changes.append(settled(IDS[number], sequence))
                elif kind == "rejected":
                    changes.append(RejectedRow(IDS[number], sequence, "why", [sequence - 1, sequence]))
                elif kind == "purged":
                    changes.append(Cleared(sequence))
            store.commit(changes, Checkpoint(sequence, sequence + 1))
            finds_what_a_scan_finds(store)
            if any(kind in ("restart", "lost") for kind, _ in commit):
                store.close()
                if any(kind == "lost" for kind, _ in commit):
                    index_of(path).unlink()
                store = Store.open(path, "log")
                finds_what_a_scan_finds(store)
        store.close()


def _older(index: Path, before: Path) -> None:
    shutil.copy(before, index)


def _torn(index: Path, _: Path) -> None:
    index.write_bytes(index.read_bytes()[:5_000])


def _damaged(index: Path, _: Path) -> None:
    content = bytearray(index.read_bytes())
    content[-4_096:] = b"\xff" * 4_096
    index.write_bytes(content)


def _empty(index: Path, _: Path) -> None:
    index.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_older, _torn, _damaged, _empty])
def test_a_spoilt_index_is_repaired_at_the_latest_by_the_second_start(
    tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    path, before = tmp_path / "model.duckdb", tmp_path / "before"
    filled(path)
    shutil.copy(index_of(path), before)
    filled(path, first=9)
    spoil(index_of(path), before)
    with closing(Store.open(path, "log")) as store:
        # Damage inside the file shows only when it is read; then the rows are searched.
        assert [store.ended(one) for one in IDS] == [store.scan(one) for one in IDS]
    with closing(Store.open(path, "log")) as store:
        assert finds_what_a_scan_finds(store)


def test_no_changed_byte_of_the_index_makes_a_known_payment_new(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model.duckdb.ids"
    known = {
        str(UUID(int=number << 96 | 7)): EndedPayment("processed", 5, "default", [number]) for number in range(500)
    }
    rows = [(UUID(one).bytes, ended.encode()) for one, ended in known.items()]
    id_index.write_index(path, "log", 500, [rows])
    whole = path.read_bytes()
    assert len(whole) > 4 * id_index.PAGE_BYTES, "the tree has two levels"
    unread_pages = set()
    # The beginning of each page, with the counts and pointers of the tree, and places between.
    for place in {*range(0, len(whole), 509), *(begin + n for begin in range(0, len(whole), 4_096) for n in range(20))}:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        if place == RESERVED_BYTES_AT:
            # It switches the checksums off, which is noticed when the file is opened.
            with closing(id_index.connect(path)) as connection, pytest.raises(id_index.IndexUnusableError):
                id_index.position_of(connection, "log")
            continue
        with suppress(id_index.IndexDamagedError, apsw.Error), closing(id_index.IdIndex(path, 500)) as index:
            # Either the right answer, or an error.
            assert {one: index.find(one) for one in known} == known, place
            unread_pages.add(place // id_index.PAGE_BYTES)
        discard_index(path)
    assert len(unread_pages) <= 1, "only the page with the position, which is read when the file is opened"
    assert "does not match its checksum" in caplog.text


def test_the_index_of_a_log_before_its_purge_is_written_anew(tmp_path: Path) -> None:
    path, before = tmp_path / "model.duckdb", tmp_path / "before"
    filled(path)
    shutil.copy(index_of(path), before)
    with closing(Store.open(path, "log")) as store:
        store.commit([Cleared(50), settled(IDS[3], 60)], Checkpoint(60, 61))
        assert (store.ended(IDS[1]), store.ended(IDS[3])) == (None, store.scan(IDS[3]))
    shutil.copy(before, index_of(path))
    with closing(Store.open(path, "log")) as store:
        assert finds_what_a_scan_finds(store)


@pytest.mark.parametrize("other_log", ["another", "log"])
def test_the_index_of_another_read_model_is_written_anew(tmp_path: Path, other_log: str) -> None:
    path, other = tmp_path / "model.duckdb", tmp_path / "other.duckdb"
    filled(path)
    # Of another log, or ahead in the same one.
    with closing(Store.open(other, other_log)) as store:
        store.commit([settled(IDS[11], 900)], Checkpoint(900, 901))
    shutil.copy(index_of(other), index_of(path))
    with closing(Store.open(path, "log")) as store:
        assert finds_what_a_scan_finds(store)


_COMMITTING = """
import itertools, sys
from pathlib import Path
from tests.integration.projector.live.test_id_index import IDS, settled
from tollgate.projector.live import id_index
from tollgate.projector.live import store as store_module
from tollgate.projector.live.store import Checkpoint, Store

id_index.INDEX_BATCH = 2
store = Store.open(Path(sys.argv[1]), "log")
for sequence in itertools.count(store.checkpoint.position + 3):
    store.commit([settled(IDS[sequence % 12], sequence)], Checkpoint(sequence, sequence + 1))
    print(sequence, flush=True)
"""


def test_the_index_equals_the_scan_after_sigkill_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "model.duckdb"
    committed = 0
    for milliseconds in (0, 3, 7, 11, 16):
        with subprocess.Popen([sys.executable, "-c", _COMMITTING, path], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert int(process.stdout.readline()) > committed
            time.sleep(milliseconds / 1e3)  # the moment of the kill is what varies
            process.kill()
            process.wait()
        with closing(Store.open(path, "log")) as store:
            assert store.checkpoint.position > committed
            committed = store.checkpoint.position
            assert finds_what_a_scan_finds(store)


@pytest.mark.parametrize("bits", [0, 96], ids=["random ids", "ids that begin alike"])
def test_rows_for_the_index_are_sorted_by_bounded_queries(tmp_path: Path, bits: int) -> None:
    rng = random.Random(1)
    ids = [str(UUID(int=((1 << 127) * (bits > 0)) + rng.getrandbits(128 - bits))) for _ in range(100)]
    with closing(Store.open(tmp_path / "model.duckdb", "log")) as store:
        store.commit([settled(one, sequence) for sequence, one in enumerate(ids, start=3)], Checkpoint(200, 201))
        with closing(store.cursor()) as cursor:
            bounds = store_module._bounds(cursor, 0)
            queries = [sum(first <= UUID(one).int < end for one in ids) for first, end in pairwise(bounds)]
            assert len(queries) == 50
            assert max(queries) <= 3
            written = [key for some in store_module.encoded_rows(cursor, 0) for key, _ in some]
        assert written == sorted(UUID(one).bytes for one in ids)
        with closing(store.cursor()) as cursor:
            assert len([one for some in store_module.encoded_rows(cursor, 101) for one in some]) == 1
