"""Waits with a bound."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from tollgate.runtime.tasks import result_within, set_errors, set_results


def deadline_in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_result_that_comes_in_time_is_returned() -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, 7)
    assert await result_within(future, deadline_in(5)) == 7
    assert await result_within(future, deadline_in(-1)) == 7


async def test_a_result_that_does_not_come_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        await result_within(asyncio.get_running_loop().create_future(), deadline_in(0.01))


async def test_a_cancelled_wait_is_cancelled_and_no_timeout() -> None:
    waiting = asyncio.create_task(result_within(asyncio.get_running_loop().create_future(), deadline_in(5)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()


@pytest.mark.parametrize("give", [partial(set_results, result=7), partial(set_errors, error=ValueError("no"))])
async def test_only_a_future_that_is_not_done_gets_the_outcome(
    give: Callable[[list[asyncio.Future[int]]], None],
) -> None:
    waiting, cancelled, done = (asyncio.get_running_loop().create_future() for _ in range(3))
    cancelled.cancel()
    done.set_result(1)
    give([cancelled, waiting, done])
    assert cancelled.cancelled()
    assert done.result() == 1
    assert waiting.result() == 7 if waiting.exception() is None else str(waiting.exception()) == "no"
