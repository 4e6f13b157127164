"""Folds repeated lines of the program log: the first of a kind at once, then one every FOLD_SECONDS, with the count.

A fault that hits every payment, or a client that sends rubbish, would otherwise write as many lines as there are
payments. It is done where lines are written, so it holds for every line, also for those of libraries.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

FOLD_SECONDS = 5.0
"""Of each kind, one line at most within this, after the first."""
KINDS_MAX = 256
"""Kinds that are told apart. Further ones count as one kind of their own, until another kind has been quiet."""

Kind = tuple[object, ...]
_FURTHER: Kind = ("further kinds",)


@dataclass(slots=True)
class _Folded:
    """What was not written since `since`: how many, and the newest."""

    since: float
    count: int = 0
    newest: logging.LogRecord | None = None


class FoldingHandler(logging.StreamHandler[TextIO]):
    """Writes records; those of one kind folded.

    A kind is a level, a text before its values are filled in, and the values of `provider` and `event`. What is folded
    is written with the newest of them. Records at DEBUG are never folded: who asks for them wants each.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        fold_seconds: float = FOLD_SECONDS,
        kinds_max: int = KINDS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream)
        self._fold_seconds = fold_seconds
        self._kinds_max = kinds_max
        self._clock = clock
        self._folded: dict[Kind, _Folded] = {}
        """By kind; in the order of `since`, because all are folded for the same time."""
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record or counts it. The lock is held (`handle`)."""
        if record.levelno < logging.INFO:
            super().emit(record)
            return
        now = self._clock()
        self._write_due(now)
        kind = kind_of(record)
        if kind not in self._folded and len(self._folded) >= self._kinds_max:
            kind = _FURTHER
        folded = self._folded.get(kind)
        if folded is None:
            self._folded[kind] = _Folded(now)
            super().emit(record)
            return
        folded.count += 1
        folded.newest = record
        self._plan(now)

    def close(self) -> None:
        """Writes what is folded."""
        with self._locked():
            if self._timer is not None:
                self._timer.cancel()
            self._write_due(float("inf"))
            self._folded.clear()
        super().close()

    def _write_due(self, now: float) -> None:
        for kind, folded in list(self._folded.items()):
            if now - folded.since < self._fold_seconds:
                return
            del self._folded[kind]
            if folded.newest is not None:
                # Kept, as the last: this line begins a new time.
                self._folded[kind] = _Folded(now)
                folded.newest.repeated = folded.count
                super().emit(folded.newest)

    def _plan(self, now: float) -> None:
        """Has what is folded written when its time is over, also if nothing more is logged."""
        if self._timer is not None:
            return
        earliest = min(folded.since for folded in self._folded.values() if folded.newest is not None)
        self._timer = threading.Timer(max(earliest + self._fold_seconds - now, 0.0), self._on_timer)
        self._timer.daemon = True
        # At the end of the program no thread can be started; `close` writes the rest.
        with suppress(RuntimeError):
            self._timer.start()

    def _on_timer(self) -> None:
        with self._locked():
            self._timer = None
            now = self._clock()
            self._write_due(now)
            if any(folded.newest is not None for folded in self._folded.values()):
                self._plan(now)

    def _locked(self) -> threading.RLock:
        if self.lock is None:
            raise RuntimeError("a handler of `logging` has a lock")
        return self.lock


def kind_of(record: logging.LogRecord) -> Kind:
    """What two records have in common that are folded."""
    error = record.exc_info[0] if record.exc_info else None
    given = record.__dict__
    return record.name, record.levelno, record.msg, given.get("provider"), given.get("event"), error
