"""What the processor's unit tests share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.processor.charging.charging_world import World
from tollgate.processor.charging import attempts
from tollgate.processor.charging import doubt_handler as doubts
from tollgate.processor.charging import handler as handling


@pytest.fixture
def make_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """Makes worlds; the handlers tell the time by the clock of the newest."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        world = World(**options)
        worlds.append(world)
        for module in (handling, doubts):
            monkeypatch.setattr(module, "time", world.clock)
        for module in (handling, doubts, attempts):
            monkeypatch.setattr(module, "now_us", world.clock.now_us)
        return world

    yield make
    for world in worlds:
        world.close()
