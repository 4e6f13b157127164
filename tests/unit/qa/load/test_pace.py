import asyncio
import threading
import time
from itertools import pairwise

import pytest

from qa.load.pace import keep_pace


async def test_calls_come_in_number_in_order_and_not_before_they_are_due() -> None:
    due: list[float] = []

    def begin(due_at: float) -> None:
        assert time.perf_counter() >= due_at
        due.append(due_at)

    await keep_pace(1000, 50, begin)
    assert len(due) == 50
    assert [round((late - early) * 1000, 3) for early, late in pairwise(due)] == [1.0] * 49


async def test_a_slow_listener_does_not_slow_the_schedule() -> None:
    due: list[float] = []

    def begin(due_at: float) -> None:
        due.append(due_at)
        time.sleep(0.005)

    await keep_pace(1000, 20, begin)
    assert due[-1] - due[0] == pytest.approx(0.019)


async def test_it_stops_at_once_when_its_caller_is_cancelled() -> None:
    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await keep_pace(0.1, 10, lambda _due_at: None)
    assert time.perf_counter() - began < 2
    assert "pace" not in {thread.name for thread in threading.enumerate()}
