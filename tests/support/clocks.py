"""Programs whose wall clock can be set; tests that need them are skipped where libfaketime is not installed."""

from pathlib import Path

import pytest

from qa.chaos.clocks import Clock, NoClocksError


def settable_clock(path: Path) -> tuple[Clock, dict[str, str]]:
    """A clock that is right at first, and the environment of the program that uses it."""
    clock = Clock(path)
    clock.set(0.0)
    try:
        return clock, dict(clock.environment())
    except NoClocksError as error:
        pytest.skip(str(error))
