"""The open pages, and the newest message for all of them.

Bounds: PAGES_MAX pages; a further one is refused. A page that reads slowly skips messages: only the newest is kept.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from tollgate.contract.errors import TollgateError
from tollgate.runtime.tasks import set_within

PAGES_MAX = 32
SILENCE_SECONDS_MAX = 5.0
"""A page that gets nothing new gets the last message again, so that the end of a connection is noticed."""


class TooManyPagesError(TollgateError):
    """PAGES_MAX pages are open."""


class Pages:
    """Publishes messages to the pages that are open."""

    def __init__(self) -> None:
        self._newest: bytes | None = None
        self._number = 0
        self._published = asyncio.Condition()
        self._opened = asyncio.Event()
        self.count = 0

    @property
    def is_full(self) -> bool:
        return self.count >= PAGES_MAX

    @contextlib.contextmanager
    def page(self) -> Iterator[None]:
        """Counts a page while it is open. Raises TooManyPagesError."""
        if self.is_full:
            raise TooManyPagesError(f"{PAGES_MAX} pages are open, which is the limit")
        self.count += 1
        self._opened.set()
        try:
            yield
        finally:
            self.count -= 1

    async def publish(self, message: bytes) -> None:
        """Makes the message the newest."""
        async with self._published:
            self._newest, self._number = message, self._number + 1
            self._published.notify_all()

    async def messages(self) -> AsyncIterator[bytes]:
        """The newest message at once, then each newer one, or the same again after SILENCE_SECONDS_MAX."""
        seen = 0
        while True:
            if self._number == seen:
                await self._next(seen)
            if self._newest is not None:
                seen = self._number
                yield self._newest

    async def until_opened(self, timeout_seconds: float) -> None:
        """Returns when a page is opened, or after the time."""
        self._opened.clear()
        await set_within(self._opened, timeout_seconds)

    async def _next(self, seen: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_SECONDS_MAX), self._published:
                await self._published.wait_for(lambda: self._number != seen)
