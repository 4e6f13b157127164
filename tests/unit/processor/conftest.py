"""What the processor's unit tests share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.processor.charging.charging_environment import Environment


@pytest.fixture
def make_environment() -> Iterator[Callable[..., Environment]]:
    """Makes environments, and closes them at the end."""
    environments: list[Environment] = []

    def make(**options: Any) -> Environment:
        environment = Environment(**options)
        environments.append(environment)
        return environment

    yield make
    for environment in environments:
        environment.close()
