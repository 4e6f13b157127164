"""What the processor's unit tests share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.processor.charging.charging_world import World


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """Makes worlds, and closes them at the end."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        world = World(**options)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()
