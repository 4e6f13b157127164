import asyncio
import json
import time
from collections.abc import Callable

import pytest

from qa.load import generator
from qa.load.client import Answer, CutOffError, Origin, Pool
from qa.load.generator import ATTEMPTS_MAX, PATIENCE_SECONDS, PAUSE_SECONDS_MAX, Generator, Verdict, pauses, verdict
from qa.load.money import constant


class Gateway(Pool):
    """Answers from memory: `status` gets the attempt's number, None cuts the request off."""

    def __init__(self, status: Callable[[int], int | None], seconds: float = 0.0) -> None:
        super().__init__(Origin("gateway", 80), 1)
        self.attempts: dict[str, int] = {}
        self._status = status
        self._seconds = seconds

    async def ask(self, request: bytes, timeout_seconds: float, wait_seconds: float | None = None) -> Answer:
        assert timeout_seconds > 0
        assert wait_seconds is None or 0 < wait_seconds <= PATIENCE_SECONDS
        sent_at = time.perf_counter()
        payment_id = json.loads(request.partition(b"\r\n\r\n")[2])["correlationId"]
        self.attempts[payment_id] = self.attempts.get(payment_id, 0) + 1
        await asyncio.sleep(self._seconds)
        status = self._status(self.attempts[payment_id])
        if status is None:
            raise CutOffError("cut off")
        return Answer(status, {}, b"why", sent_at, time.perf_counter())


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "PAUSE_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(generator, "PAUSE_SECONDS_MAX", 0.001)


async def trial(gateway: Gateway, in_flight_max: int = 100) -> Generator:
    sender = Generator(gateway, constant(1990), in_flight_max)
    await sender.run(rate_per_second=1000, seconds=0.02)
    return sender


@pytest.mark.parametrize(
    ("status", "told"),
    [
        *[(202, "accepted"), (400, "refused"), (409, "refused"), (422, "refused")],
        *[(status, "again") for status in (408, 429, 500, 503, 200, 302)],
    ],
)
def test_what_a_status_means(status: int, told: str) -> None:
    assert verdict(status) is Verdict(told)


def test_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = list(pauses())
    assert len(found) == ATTEMPTS_MAX - 1
    assert found == sorted(found)
    assert found[-1] == PAUSE_SECONDS_MAX
    assert sum(found) > PATIENCE_SECONDS  # patience ends a payment, the count only guards


async def test_every_payment_is_sent_once_and_accepted() -> None:
    gateway = Gateway(lambda _attempt: 202)
    sender = await trial(gateway)
    assert set(gateway.attempts.values()) == {1}
    assert sender.sent.accepted == dict.fromkeys(gateway.attempts, 1990)
    assert len(sender.sent.accepted) == len(sender.tally.from_send) == len(sender.tally.lateness) == 20


@pytest.mark.parametrize("trouble", [503, None])
async def test_a_payment_without_a_202_is_sent_again_under_the_same_id(trouble: int | None) -> None:
    gateway = Gateway(lambda attempt: 202 if attempt == 3 else trouble)
    sender = await trial(gateway)
    assert set(gateway.attempts.values()) == {3}
    assert len(sender.sent.accepted) == 20
    assert sender.tally.retries == 40
    assert sender.tally.first_try_503 == (20 if trouble == 503 else 0)
    assert sender.tally.connection_errors == (0 if trouble else 40)


async def test_a_refused_payment_is_not_sent_again() -> None:
    gateway = Gateway(lambda _attempt: 422)
    sender = await trial(gateway)
    assert set(gateway.attempts.values()) == {1}
    assert len(sender.sent.refused) == 20
    assert sender.tally.refusals[0] == "422 why"


async def test_a_payment_that_never_gets_an_answer_ends_as_unknown() -> None:
    gateway = Gateway(lambda _attempt: None)
    sender = await trial(gateway)
    assert set(gateway.attempts.values()) == {ATTEMPTS_MAX}
    assert sender.sent.unknown == dict.fromkeys(gateway.attempts, 1990)


async def test_beyond_the_bound_payments_are_skipped_and_counted() -> None:
    sender = await trial(Gateway(lambda _attempt: 202, seconds=0.2), in_flight_max=5)
    assert (len(sender.sent.accepted), sender.tally.skipped) == (5, 15)


async def test_latency_from_the_schedule_contains_the_pauses() -> None:
    sender = await trial(Gateway(lambda attempt: 202 if attempt == 2 else 503, seconds=0.01))
    assert min(sender.tally.from_schedule) > 0.02
    assert min(sender.tally.from_send) >= 0.009
    assert min(sender.tally.from_schedule) > min(sender.tally.from_send)
