"""Admission to the payment handler: a limit of running requests, a limit of waiting ones, the rest refused."""

import asyncio
from collections import deque


class Admission:
    """Admits up to `max_running` at once; up to `max_waiting` more wait, in the order of arrival."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._running = 0
        self._turns: deque[asyncio.Future[None]] = deque()

    @property
    def running(self) -> int:
        """How many requests are running."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._turns)

    async def enter(self) -> bool:
        """True once admitted: then `leave` must be called. False at once when as many wait as may."""
        if self._running < self._max_running:
            self._running += 1
            return True
        if len(self._turns) >= self._max_waiting:
            return False
        await self._wait()
        return True

    def leave(self) -> None:
        """Passes the place to the next waiting request, or frees it."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1

    async def _wait(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was passed to this request while it was cancelled, so it has to be given back.
                self.leave()
            raise
