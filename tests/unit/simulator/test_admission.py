import asyncio

from tollgate.simulator.admission import Gate


async def test_places_are_given_at_once_while_there_are_any() -> None:
    gate = Gate(2, 0)
    assert await gate.enter()
    assert await gate.enter()
    assert gate.running == 2


async def test_beyond_the_waiting_room_one_is_sent_away_at_once() -> None:
    gate = Gate(1, 0)
    await gate.enter()
    assert not await gate.enter()
    gate.leave()
    assert await gate.enter()


async def test_those_who_wait_enter_in_the_order_they_came() -> None:
    gate = Gate(1, 2)
    await gate.enter()
    entered: list[str] = []

    async def visit(name: str) -> None:
        assert await gate.enter()
        entered.append(name)
        gate.leave()

    async with asyncio.TaskGroup() as group:
        group.create_task(visit("first"))
        group.create_task(visit("second"))
        await asyncio.sleep(0)
        assert gate.waiting == 2
        gate.leave()
    assert entered == ["first", "second"]
    assert (gate.running, gate.waiting) == (0, 0)


async def test_one_who_gives_up_waiting_takes_no_place() -> None:
    gate = Gate(1, 2)
    await gate.enter()
    waiting = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    assert gate.waiting == 1
    waiting.cancel()
    await asyncio.wait([waiting])
    gate.leave()
    assert gate.running == 0


async def test_one_who_gives_up_as_his_turn_comes_passes_it_on() -> None:
    gate = Gate(1, 1)
    await gate.enter()
    waiting = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    assert gate.waiting == 1
    gate.leave()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert gate.running == 0
