"""Which events share a message, and the result that each caller gets."""

import asyncio
import gc
from collections.abc import Sequence
from typing import cast

import pytest

from tests.unit.processor.charging.charging_environment import OTHER_PAYMENT
from tollgate.contract.batch import EVENTS_MAX
from tollgate.contract.events import Event, PaymentInDoubt, PaymentProcessed, PaymentRouted, ProviderName
from tollgate.messaging.log import Appended, Log
from tollgate.processor.charging.group_commit import GroupCommit
from tollgate.runtime.errors import BrokerUnavailableError

TIMEOUT_SECONDS = 5.0


class MessageLog:
    """Collects the messages that it is given, and stores them when the test releases them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.messages: list[list[Event]] = []
        self.was_given_one = asyncio.Event()
        self.stores = asyncio.Event()
        self.stores.set()
        self._error = error

    async def append(self, event: Event, *, timeout_seconds: float) -> Appended:
        return Appended(await self.append_together([event], timeout_seconds=timeout_seconds))

    async def append_together(self, events: Sequence[Event], *, timeout_seconds: float) -> int:
        assert timeout_seconds == TIMEOUT_SECONDS
        self.messages.append(list(events))
        self.was_given_one.set()
        sequence = len(self.messages)
        await self.stores.wait()
        if self._error is not None:
            raise self._error
        return sequence


def routed(number: int, provider: ProviderName = "default") -> PaymentRouted:
    return PaymentRouted(OTHER_PAYMENT.format(number), 5, 1, provider, 1, "why")


def processed(number: int) -> PaymentProcessed:
    return PaymentProcessed(OTHER_PAYMENT.format(number), 5, 1, "default", 1, 2)


def appending(commit: GroupCommit, *events: Event) -> list[asyncio.Task[Appended]]:
    return [asyncio.create_task(commit.append(event, timeout_seconds=TIMEOUT_SECONDS)) for event in events]


def committing_to(log: MessageLog) -> GroupCommit:
    return GroupCommit(cast("Log", log))


async def test_intents_of_one_moment_share_a_message_for_each_provider() -> None:
    log = MessageLog()
    events = [routed(1), routed(2, "fallback"), routed(3)]
    appended = await asyncio.gather(*appending(committing_to(log), *events))
    assert log.messages == [[events[0], events[2]], [events[1]]]
    assert [one.sequence for one in appended] == [1, 2, 1]


async def test_outcomes_wait_a_little_for_others() -> None:
    log = MessageLog()
    commit = committing_to(log)
    first = appending(commit, processed(1))
    await asyncio.sleep(0)
    assert not log.messages
    await asyncio.gather(*first, *appending(commit, processed(2)))
    assert log.messages == [[processed(1), processed(2)]]


async def test_a_message_that_is_full_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.processor.charging.group_commit.LINGER_SECONDS", {PaymentProcessed: 3_600.0})
    log = MessageLog()
    events = [processed(number) for number in range(EVENTS_MAX * 2)]
    await asyncio.gather(*appending(committing_to(log), *events))
    assert log.messages == [events[:EVENTS_MAX], events[EVENTS_MAX:]]


async def test_an_event_that_arrives_while_a_message_is_stored_goes_into_the_next() -> None:
    log = MessageLog()
    log.stores.clear()
    commit = committing_to(log)
    first = appending(commit, routed(1))
    await log.was_given_one.wait()
    log.was_given_one.clear()
    second = appending(commit, routed(2))
    await log.was_given_one.wait()
    log.stores.set()
    assert [one.sequence for one in await asyncio.gather(*first, *second)] == [1, 2]


async def test_two_events_of_one_payment_never_share_a_message() -> None:
    log = MessageLog()
    await asyncio.gather(*appending(committing_to(log), routed(1), routed(2), routed(1), routed(3)))
    assert log.messages == [[routed(1), routed(2)], [routed(1), routed(3)]]


async def test_events_that_are_not_grouped_are_stored_alone() -> None:
    log = MessageLog()
    doubts = [PaymentInDoubt(OTHER_PAYMENT.format(number), 1, "default", "why") for number in (1, 2)]
    await asyncio.gather(*appending(committing_to(log), *doubts))
    assert log.messages == [[doubts[0]], [doubts[1]]]


async def test_every_caller_gets_the_error_when_the_message_was_not_stored() -> None:
    log = MessageLog(BrokerUnavailableError("away"))
    results = await asyncio.gather(*appending(committing_to(log), routed(1), routed(2)), return_exceptions=True)
    assert [str(result) for result in results] == ["away", "away"]


async def test_a_cancelled_caller_does_not_cancel_the_append_of_the_others() -> None:
    log = MessageLog()
    log.stores.clear()
    given_up, kept = appending(committing_to(log), routed(1), routed(2))
    await log.was_given_one.wait()
    given_up.cancel()
    log.stores.set()
    assert await kept == Appended(1)
    assert given_up.cancelled()


async def test_every_caller_is_cancelled_when_the_append_is() -> None:
    log = MessageLog(asyncio.CancelledError())
    callers = appending(committing_to(log), routed(1), routed(2))
    await asyncio.wait(callers, timeout=TIMEOUT_SECONDS)
    assert [caller.cancelled() for caller in callers] == [True, True]


async def test_an_error_that_no_caller_waits_for_any_more_is_consumed(caplog: pytest.LogCaptureFixture) -> None:
    log = MessageLog(BrokerUnavailableError("away"))
    log.stores.clear()
    (given_up,) = appending(committing_to(log), routed(1))
    await log.was_given_one.wait()
    given_up.cancel()
    await asyncio.wait([given_up])
    log.stores.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # asyncio logs an error that was never retrieved when its task is collected.
    gc.collect()
    assert not caplog.records
