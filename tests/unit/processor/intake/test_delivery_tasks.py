"""The events of one message are handled on their own, and the message is answered once."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.conditions import eventually
from tests.unit.processor.charging.charging_environment import OTHER_PAYMENT
from tollgate.contract.events import Event, PaymentRequested
from tollgate.messaging.pull_consumer import Delivery
from tollgate.processor.charging.handler import Done, Result, Retry
from tollgate.processor.intake.delivery_tasks import FAILED_RETRY_SECONDS, DeliveryTasks
from tollgate.runtime.errors import BrokerUnavailableError

EVENTS = [PaymentRequested(OTHER_PAYMENT.format(number), 5, 1) for number in range(3)]


class Message:
    """A delivery that records its answers."""

    def __init__(self) -> None:
        self.info = SimpleNamespace(sequence=7)
        self.answers: list[float | str] = []

    async def ack(self) -> None:
        self.answers.append("ack")

    async def retry(self, delay_seconds: float) -> None:
        self.answers.append(delay_seconds)

    @property
    def delivery(self) -> Delivery:
        return cast("Delivery", self)


class Handler:
    """Answers each event with the next of its results; an `asyncio.Event` among them is awaited first."""

    def __init__(self, **results: list[Result | Exception | asyncio.Event]) -> None:
        self._results = {EVENTS[int(name[1:])].correlation_id: list(ones) for name, ones in results.items()}
        self.handled: list[int] = []

    async def __call__(self, _: Delivery, event: Event) -> Result:
        assert isinstance(event, PaymentRequested)
        self.handled.append(EVENTS.index(event))
        result = self._results[event.correlation_id].pop(0)
        if isinstance(result, asyncio.Event):
            await result.wait()
            result = cast("Result", self._results[event.correlation_id].pop(0))
        if isinstance(result, Exception):
            raise result
        return result


async def finished(handler: Handler, message: Message) -> None:
    tasks = DeliveryTasks(handler, what="request")
    assert tasks.take(message.delivery, EVENTS)
    assert len(tasks) == len(EVENTS)
    tasks.begin(message.delivery)
    await eventually(lambda: _is(len(tasks) == 0), what="no event is in hand")


async def _is(value: object) -> bool:
    return bool(value)


async def test_a_message_is_acknowledged_once_when_all_its_events_are_done() -> None:
    message = Message()
    await finished(Handler(e0=[Done()], e1=[Done()], e2=[Done()]), message)
    assert message.answers == ["ack"]


async def test_events_that_wait_go_back_with_their_message_at_the_earliest_moment_that_one_asks_for() -> None:
    message = Message()
    await finished(Handler(e0=[Done()], e1=[Retry(9.0)], e2=[Retry(4.0)]), message)
    assert message.answers == [pytest.approx(4.0, abs=0.5)]


async def test_an_event_that_waits_is_handled_again_here_while_another_is_under_way() -> None:
    message, call = Message(), asyncio.Event()
    handler = Handler(e0=[call, Done()], e1=[Retry(0.01), Retry(0.01), Done()], e2=[Done()])
    tasks = DeliveryTasks(handler, what="request")
    tasks.take(message.delivery, EVENTS)
    tasks.begin(message.delivery)
    await eventually(lambda: _is(handler.handled.count(1) == 3), what="the waiting event is handled again")
    assert message.answers == []
    call.set()
    await eventually(lambda: _is(len(tasks) == 0), what="no event is in hand")
    assert message.answers == ["ack"]


async def test_a_failed_event_comes_back_as_after_the_death_of_a_replica() -> None:
    message = Message()
    await finished(Handler(e0=[Done()], e1=[BrokerUnavailableError("a test")], e2=[Done()]), message)
    assert message.answers == [pytest.approx(FAILED_RETRY_SECONDS, abs=0.5)]


async def test_only_the_newest_delivery_of_a_message_is_answered() -> None:
    first, second, call = Message(), Message(), asyncio.Event()
    tasks = DeliveryTasks(Handler(e0=[call, Done()], e1=[Done()], e2=[Done()]), what="request")
    tasks.take(first.delivery, EVENTS)
    tasks.begin(first.delivery)
    assert not tasks.take(second.delivery, EVENTS)
    call.set()
    await eventually(lambda: _is(len(tasks) == 0), what="no event is in hand")
    assert (first.answers, second.answers) == ([], ["ack"])
