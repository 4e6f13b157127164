"""How many payments are looked up in the log at once."""

import asyncio
from typing import cast

from tollgate.contract.read_model_api import PaymentView
from tollgate.messaging.connection import Broker
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.processor.charging.histories import QUESTIONS_MAX, READINGS_MAX, Histories
from tollgate.processor.charging.history import History

ID = "00000000-0000-4000-8000-{:012d}"


class Counted:
    """Counts the callers inside at once, and releases them when the test opens it."""

    def __init__(self) -> None:
        self.inside = self.inside_max = 0
        self.opens = asyncio.Event()

    async def pass_through(self) -> None:
        self.inside += 1
        self.inside_max = max(self.inside_max, self.inside)
        await self.opens.wait()
        self.inside -= 1


class Asked(Counted):
    """A read model that has only the request of each payment."""

    async def payment(self, correlation_id: str, *, timeout_seconds: float) -> PaymentView:
        assert timeout_seconds > 0
        await self.pass_through()
        return PaymentView(correlation_id, 1, "pending", [1])


class Away:
    """A read model that never answers."""

    async def payment(self, correlation_id: str, *, timeout_seconds: float) -> PaymentView:
        raise ReadModelUnavailableError(f"{correlation_id} not within {timeout_seconds} s")


class Reading(Histories):
    """Reads a log that is as long as it is told."""

    def __init__(self, counted: Counted) -> None:
        super().__init__(cast("Broker", None), cast("ReadModel", Away()))
        self._counted = counted

    async def _read(self, _correlation_id: str, _request_sequence: int) -> History:
        await self._counted.pass_through()
        return History([])


async def ask_for_many(histories: Histories, counted: Counted) -> list[History]:
    asking = [asyncio.ensure_future(histories.of(ID.format(number), 1)) for number in range(100)]
    for _ in range(10):
        await asyncio.sleep(0)
    counted.opens.set()
    return await asyncio.gather(*asking)


async def test_questions_to_the_read_model_at_once_are_bounded() -> None:
    asked = Asked()
    histories = Histories(cast("Broker", None), cast("ReadModel", asked))
    assert await ask_for_many(histories, asked) == [History([])] * 100
    assert asked.inside_max == QUESTIONS_MAX


async def test_without_a_read_model_the_log_is_read_for_few_payments_at_once() -> None:
    counted = Counted()
    assert await ask_for_many(Reading(counted), counted) == [History([])] * 100
    assert counted.inside_max == READINGS_MAX
