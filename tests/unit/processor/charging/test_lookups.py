"""Many payments are looked up with few questions, and an answer is used only together with its position."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tollgate.contract.events import PaymentRouted
from tollgate.contract.known_ids import Known, KnownPayment
from tollgate.contract.payment_state import Ended
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.processor.charging.histories import UnknownPaymentError
from tollgate.processor.charging.history import History
from tollgate.processor.charging.lookups import BATCH_MAX, Found, Lookups
from tollgate.runtime.errors import BrokerUnavailableError

ID = "00000000-0000-4000-8000-{:012d}"
ENDED = KnownPayment(1, 5, "processed", 9, "default")


def intent(payment: str) -> PaymentRouted:
    return PaymentRouted(payment, 5, 1, "default", 1, "why")


class FakeReadModel:
    """Answers from a table; counts its questions, and is away for the first `away` of them."""

    def __init__(self, payments: Mapping[str, KnownPayment], *, position: int = 100, away: float = 0) -> None:
        self._payments = payments
        self._position = position
        self._away = away
        self.questions: list[tuple[int, int | None]] = []
        """Of each question how many ids it had, and `up_to`."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def known(self, correlation_ids: Sequence[str], *, timeout_seconds: float, up_to: int | None = None) -> Known:
        assert timeout_seconds > 0
        self.questions.append((len(correlation_ids), up_to))
        await self.may_answer.wait()
        if len(self.questions) <= self._away:
            raise ReadModelUnavailableError("away")
        found = {one: self._payments[one] for one in correlation_ids if one in self._payments}
        return Known(self._position, found)


class FakeHistories:
    """A log that has one intent of each payment, at sequence 7. Counts how often it is read."""

    def __init__(self) -> None:
        self.readings: list[Mapping[str, int]] = []
        self.at_sequences: list[Sequence[int]] = []
        self.asked_one_by_one = 0

    async def of(self, correlation_id: str, request_sequence: int | None = None) -> History:
        del request_sequence
        self.asked_one_by_one += 1
        return self._history(correlation_id)

    async def at(self, correlation_id: str, sequences: Sequence[int]) -> History:
        self.at_sequences.append(sequences)
        return self._history(correlation_id)

    async def read_together(self, requests: Mapping[str, int]) -> Mapping[str, History]:
        self.readings.append(requests)
        return {one: self._history(one) for one in requests}

    def _history(self, correlation_id: str) -> History:
        return History([(7, intent(correlation_id))])


def lookups_of(read_model: FakeReadModel, histories: FakeHistories, *, is_sure: bool = True) -> Lookups:
    return Lookups(read_model, histories, lambda: is_sure, away_seconds_max=0)


async def test_payments_that_are_wanted_together_share_a_question() -> None:
    ids = [ID.format(number) for number in range(BATCH_MAX + 44)]
    read_model = FakeReadModel(dict.fromkeys(ids, ENDED), position=1_000)
    lookups = lookups_of(read_model, FakeHistories())
    found = await asyncio.gather(*(lookups.of(one, 3, up_to=number) for number, one in enumerate(ids)))
    assert found == [Ended()] * len(ids)
    assert read_model.questions == [(BATCH_MAX, BATCH_MAX - 1), (44, len(ids) - 1)]


async def test_what_is_wanted_during_a_question_goes_into_the_next_one() -> None:
    ids = [ID.format(number) for number in range(10)]
    read_model = FakeReadModel(dict.fromkeys(ids, ENDED))
    read_model.may_answer.clear()
    lookups = lookups_of(read_model, FakeHistories())
    asking = [asyncio.ensure_future(lookups.of(ids[0], 3, up_to=9))]
    for one in ids[1:]:
        for _ in range(3):
            await asyncio.sleep(0)
        asking.append(asyncio.ensure_future(lookups.of(one, 3, up_to=10)))
    await asyncio.sleep(0)
    read_model.may_answer.set()
    assert await asyncio.gather(*asking) == [Ended()] * len(ids)
    assert read_model.questions == [(1, 9), (9, 10)]


async def test_a_payment_is_found_as_the_read_model_has_it() -> None:
    pending, routed, often = (ID.format(number) for number in range(3))
    read_model = FakeReadModel(
        {
            pending: KnownPayment(1, 5),
            routed: KnownPayment(1, 5, events=(7,)),
            often: KnownPayment(1, 5, events=None),
        }
    )
    histories = FakeHistories()
    lookups = lookups_of(read_model, histories)

    async def of(payment: str) -> Found:
        return await lookups.of(payment, 1, up_to=9)

    assert await asyncio.gather(*map(of, (pending, routed, often))) == [
        History([]),
        History([(7, intent(routed))]),
        History([(7, intent(often))]),
    ]
    assert (histories.at_sequences, histories.asked_one_by_one, histories.readings) == ([(7,)], 1, [])


async def test_a_payment_that_the_read_model_does_not_have_is_not_taken_for_a_new_one() -> None:
    lookups = lookups_of(FakeReadModel({}), FakeHistories())
    with pytest.raises(UnknownPaymentError):
        await lookups.of(ID.format(1), 1, up_to=9)


async def test_an_answer_about_the_same_id_requested_again_after_a_purge_is_not_used() -> None:
    again = ID.format(1)
    lookups = lookups_of(FakeReadModel({again: KnownPayment(6, 5)}), FakeHistories())
    with pytest.raises(UnknownPaymentError, match="requested again after a purge"):
        await lookups.of(again, 1, up_to=9)
    assert await lookups.of(again, 6, up_to=9) == await lookups.of(again, 8, up_to=9) == History([])


async def test_an_answer_older_than_the_question_is_not_used() -> None:
    lookups = lookups_of(FakeReadModel({ID.format(1): KnownPayment(1, 5)}, position=8), FakeHistories())
    with pytest.raises(BrokerUnavailableError, match="as of 8, not 9"):
        await lookups.of(ID.format(1), 1, up_to=9)


async def test_an_answer_is_not_used_while_the_log_may_be_another() -> None:
    lookups = lookups_of(FakeReadModel({ID.format(1): ENDED}), FakeHistories(), is_sure=False)
    with pytest.raises(BrokerUnavailableError, match="connection"):
        await lookups.of(ID.format(1), 1, up_to=9)


async def test_without_a_read_model_the_log_is_read_once_for_all_whose_request_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = [ID.format(number) for number in range(9)]
    read_model, histories = FakeReadModel({}, away=float("inf")), FakeHistories()
    lookups = lookups_of(read_model, histories)
    *known, unknown = await asyncio.gather(
        *(lookups.of(one, number, up_to=9) for number, one in enumerate(ids, start=1)),
        lookups.of(ID.format(99), None, up_to=9),
        return_exceptions=True,
    )
    assert known == [History([(7, intent(one))]) for one in ids]
    assert isinstance(unknown, ReadModelUnavailableError)
    assert histories.readings == [{one: number for number, one in enumerate(ids, start=1)}]
    await lookups.of(ids[0], 1, up_to=9)
    assert caplog.text.count("looked up in the log itself") == 1


async def test_a_read_model_that_is_away_for_a_moment_is_asked_again() -> None:
    read_model, histories = FakeReadModel({ID.format(1): ENDED}, away=2), FakeHistories()
    lookups = Lookups(read_model, histories, lambda: True, away_seconds_max=10)
    assert await lookups.of(ID.format(1), 1, up_to=9) == Ended()
    assert (len(read_model.questions), histories.readings) == (3, [])


async def test_a_caller_that_is_cancelled_takes_nothing_from_the_others() -> None:
    read_model = FakeReadModel({ID.format(1): ENDED, ID.format(2): ENDED})
    read_model.may_answer.clear()
    lookups = lookups_of(read_model, FakeHistories())
    first, second = (asyncio.ensure_future(lookups.of(ID.format(number), 1, up_to=9)) for number in (1, 2))
    for _ in range(3):
        await asyncio.sleep(0)
    first.cancel()
    read_model.may_answer.set()
    assert await second == Ended()
