"""Repeated lines: the first at once, then one every few seconds with the count, in bounded memory."""

import io
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.conditions import eventually
from tollgate.runtime.folded_lines import FOLD_SECONDS, KINDS_MAX, FoldingHandler
from tollgate.runtime.log_fields import about
from tollgate.runtime.log_formats import TextFormatter

NEVER = 3_600.0


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


class Written:
    """A logger with a handler that folds, and the lines that it wrote."""

    def __init__(self, clock: Callable[[], float], *, fold_seconds: float = NEVER, kinds_max: int = KINDS_MAX) -> None:
        self._stream = io.StringIO()
        self.handler = FoldingHandler(self._stream, fold_seconds=fold_seconds, kinds_max=kinds_max, clock=clock)
        self.handler.setFormatter(TextFormatter())
        self.logger = logging.getLogger("tests.folded")
        self.logger.propagate = False
        self.logger.setLevel(logging.DEBUG)
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[str]:
        return [line.partition("tests.folded: ")[2] for line in self._stream.getvalue().splitlines()]

    def close(self) -> None:
        self.logger.removeHandler(self.handler)
        self.handler.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written(clock: Clock) -> Iterator[Written]:
    found = Written(clock)
    yield found
    found.close()


def test_the_first_line_is_written_at_once_and_then_one_each_time_with_the_count(
    written: Written, clock: Clock
) -> None:
    for number in range(1_000):
        written.logger.warning("payment %d is refused", number)
    assert written.lines == ["payment 0 is refused"]
    clock.seconds = NEVER
    written.logger.warning("another line, which has what is due written")
    assert written.lines[1:] == [
        "payment 999 is refused (the newest of 999)",
        "another line, which has what is due written",
    ]
    # The count was a line, too: the next one follows no sooner than it.
    written.logger.warning("payment %d is refused", 1_000)
    assert len(written.lines) == 3
    clock.seconds = 2 * NEVER
    written.logger.warning("another line, which has what is due written")
    assert written.lines[3] == "payment 1000 is refused"


def test_after_a_quiet_time_the_next_line_is_written_at_once(written: Written, clock: Clock) -> None:
    written.logger.warning("refused")
    clock.seconds = NEVER
    written.logger.warning("refused")
    assert written.lines == ["refused", "refused"]


async def test_what_is_folded_is_written_although_nothing_more_is_logged() -> None:
    written = Written(time.monotonic, fold_seconds=0.05)
    try:
        for _ in range(3):
            written.logger.warning("refused")

        async def is_written() -> bool:
            return written.lines == ["refused", "refused (the newest of 2)"]

        await eventually(is_written, what="the count is written")
    finally:
        written.close()


def test_the_end_of_the_program_writes_what_is_folded(written: Written) -> None:
    for number in range(3):
        written.logger.warning("refused: %d", number)
    written.close()
    assert written.lines == ["refused: 0", "refused: 2 (the newest of 2)"]


def test_level_provider_event_and_kind_of_exception_are_told_apart(written: Written) -> None:
    for _ in range(2):
        written.logger.warning("it fails", extra=about(provider="default"))
        written.logger.warning("it fails", extra=about(provider="fallback"))
        written.logger.warning("it fails", extra=about(provider="fallback", event="breaker_opened"))
        written.logger.error("it fails", extra=about(provider="default"))
        for error in (ValueError("a"), KeyError("b")):
            written.logger.warning("it fails", exc_info=error)
    assert [line for line in written.lines if line] == ["it fails"] * 6


def test_lines_at_debug_are_never_folded(written: Written) -> None:
    for _ in range(3):
        written.logger.debug("a payment is accepted")
    assert len(written.lines) == 3


def test_memory_is_bounded_and_further_kinds_share_one_count(clock: Clock) -> None:
    written = Written(clock, kinds_max=4)
    for number in range(1_000):
        written.logger.warning(f"a text of its own: {number}")  # noqa: G004 - as libraries do
    assert len(written.lines) == 5, "four kinds, and the first of all others"
    assert len(written.handler._folded) == 5
    clock.seconds = NEVER
    written.logger.warning("a text of its own: 0")
    assert written.lines[5:] == ["a text of its own: 999 (the newest of 995)", "a text of its own: 0"]
    written.close()


def test_the_bounds_are_those_of_the_documentation() -> None:
    assert (FOLD_SECONDS, KINDS_MAX) == (5.0, 256)
