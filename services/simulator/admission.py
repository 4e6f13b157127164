"""The gate before the handler of payments: so many inside at once, so many more waiting, the rest sent away."""

import asyncio
from collections import deque


class Admission:
    """Admits up to `max_running` at once; up to `max_waiting` more wait their turn, first come, first served."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._running = 0
        self._turns: deque[asyncio.Future[None]] = deque()

    @property
    def running(self) -> int:
        """How many are inside."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._turns)

    async def enter(self) -> bool:
        """True once inside, after which `leave` is owed; False at once when even the waiting room is full."""
        if self._running < self._max_running:
            self._running += 1
            return True
        if len(self._turns) >= self._max_waiting:
            return False
        await self._wait()
        return True

    def leave(self) -> None:
        """Gives the place to the next who waits, or frees it."""
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
                # The place was already given to one who is no longer here to give it back.
                self.leave()
            raise
