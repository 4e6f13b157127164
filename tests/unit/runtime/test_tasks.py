"""Waits with a bound."""

import asyncio

import pytest

from tollgate.runtime.tasks import result_within


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
