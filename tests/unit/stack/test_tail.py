from pathlib import Path

from tollgate.stack.tail import last_lines


def test_the_last_lines_without_the_empty_ones(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n\ntwo \xff\n\n" + b"three\n")
    assert last_lines(log, 2) == ["two \ufffd", "three"]


def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "log", 5) == []


def test_a_long_log_is_not_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 100_000)
    assert len(last_lines(log, 5)[0]) < 20_000
