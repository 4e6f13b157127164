"""Answers requests for statistics with the progress of a rebuild, so that the console shows it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tollgate.contract.rebuild_progress import PROGRAM, RebuildProgress
from tollgate.contract.statistics import STATISTICS, ProgramStatistics, encode_statistics
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import answering

OnProgress = Callable[[int, int], None]
"""(messages read, messages left)"""


class ProgressReport:
    """Of one rebuild, which has `expected` messages to read."""

    def __init__(self, expected: int) -> None:
        self._began = time.monotonic()
        self._read = 0
        self._left = max(expected, 0)
        self._is_comparing = False

    def on_progress(self, read: int, left: int) -> None:
        self._read, self._left = read, left

    def also(self, other: OnProgress) -> OnProgress:
        """A callback that calls both."""

        def on_progress(read: int, left: int) -> None:
            self.on_progress(read, left)
            other(read, left)

        return on_progress

    def compares(self) -> None:
        """All messages are read."""
        self._left, self._is_comparing = 0, True

    @asynccontextmanager
    async def published(self, broker: Broker) -> AsyncIterator[None]:
        """Answers until left."""
        async with answering(broker, STATISTICS, self._answer):
            yield

    def _answer(self) -> bytes:
        seconds = time.monotonic() - self._began
        progress = RebuildProgress(self._read, self._left, seconds, self._is_comparing)
        return encode_statistics(ProgramStatistics(PROGRAM, PROGRAM, progress.samples()))
