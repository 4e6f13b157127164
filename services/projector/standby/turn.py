"""Whether this projector answers questions now."""

import asyncio
from uuid import uuid4


class Turn:
    """The turn of one running projector, which `instance` names. Without a standby it is always its own."""

    def __init__(self, *, has_standby: bool = False) -> None:
        self.instance = uuid4().hex
        self.has_standby = has_standby
        self.is_mine = not has_standby
        self._changed = asyncio.Condition()

    @property
    def name(self) -> str:
        """Unique among the projectors that run."""
        return f"projector {self.instance[:8]}" if self.has_standby else "projector"

    @property
    def queue_group(self) -> str | None:
        """A group of its own, so that a projector that is stopped takes no question away from the one that answers."""
        return self.instance if self.has_standby else None

    async def set(self, *, is_mine: bool) -> None:
        if is_mine != self.is_mine:
            self.is_mine = is_mine
            async with self._changed:
                self._changed.notify_all()

    async def until(self, *, is_mine: bool) -> None:
        """Waits until it is this projector's turn, or no longer is."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.is_mine == is_mine)
