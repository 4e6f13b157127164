"""Periodic waits that begin at different moments end at the same one."""

import asyncio
from types import SimpleNamespace

import pytest

from tollgate.runtime.ticks import seconds_to_tick


@pytest.mark.parametrize("period_seconds", [0.5, 1.0, 2.0])
def test_waits_end_at_a_multiple_of_the_period_and_are_neither_short_nor_long(
    monkeypatch: pytest.MonkeyPatch, period_seconds: float
) -> None:
    ends = set()
    for step in range(1_000):
        now = 86_400.0 + step * period_seconds / 1_000
        monkeypatch.setattr(asyncio, "get_running_loop", lambda now=now: SimpleNamespace(time=lambda: now))
        seconds = seconds_to_tick(period_seconds)
        assert period_seconds / 4 <= seconds <= period_seconds * 5 / 4
        ends.add(round((now + seconds - 86_400) / period_seconds, 6))
    assert ends == {1.0, 2.0}
