import asyncio
from contextlib import ExitStack

import pytest

from tollgate.console.pages import PAGES_MAX, Pages, TooManyPagesError


async def test_a_slow_page_gets_the_newest_message_and_not_those_before() -> None:
    pages = Pages()
    messages = pages.messages()
    await pages.publish(b"1")
    assert await anext(messages) == b"1"
    await pages.publish(b"2")
    await pages.publish(b"3")
    assert await anext(messages) == b"3"


async def test_every_page_gets_a_message() -> None:
    pages = Pages()
    waiting = [asyncio.ensure_future(anext(pages.messages())) for _ in range(10)]
    await asyncio.sleep(0)
    await pages.publish(b"1")
    assert await asyncio.gather(*waiting) == [b"1"] * 10


async def test_an_opened_page_ends_the_pause() -> None:
    pages = Pages()
    pause = asyncio.ensure_future(pages.until_opened(60))
    await asyncio.sleep(0)
    with pages.page():
        await asyncio.wait_for(pause, 5)


def test_pages_are_bounded_and_a_closed_one_makes_room() -> None:
    pages = Pages()
    with ExitStack() as opened:
        for _ in range(PAGES_MAX):
            opened.enter_context(pages.page())
        assert pages.is_full
        with pytest.raises(TooManyPagesError), pages.page():
            pass
    with pages.page():
        assert pages.count == 1
