import asyncio

from tollgate.simulator.admission import Admission


async def test_places_are_given_at_once_while_there_are_any() -> None:
    admission = Admission(2, 0)
    assert await admission.enter()
    assert await admission.enter()
    assert admission.running == 2


async def test_beyond_the_waiting_room_one_is_sent_away_at_once() -> None:
    admission = Admission(1, 0)
    await admission.enter()
    assert not await admission.enter()
    admission.leave()
    assert await admission.enter()


async def test_those_who_wait_enter_in_the_order_they_came() -> None:
    admission = Admission(1, 2)
    await admission.enter()
    entered: list[str] = []

    async def visit(name: str) -> None:
        assert await admission.enter()
        entered.append(name)
        admission.leave()

    async with asyncio.TaskGroup() as group:
        group.create_task(visit("first"))
        group.create_task(visit("second"))
        await asyncio.sleep(0)
        assert admission.waiting == 2
        admission.leave()
    assert entered == ["first", "second"]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_one_who_gives_up_waiting_takes_no_place() -> None:
    admission = Admission(1, 2)
    await admission.enter()
    waiting = asyncio.create_task(admission.enter())
    await asyncio.sleep(0)
    assert admission.waiting == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    admission.leave()
    assert admission.running == 0


async def test_one_who_gives_up_as_his_turn_comes_passes_it_on() -> None:
    admission = Admission(1, 1)
    await admission.enter()
    waiting = asyncio.create_task(admission.enter())
    await asyncio.sleep(0)
    assert admission.waiting == 1
    admission.leave()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert admission.running == 0
