"""What the log makes of the broker's refusals, with the answers that nats-server gives."""

import asyncio
from base64 import b64encode
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from tollgate.contract.codec import encode
from tollgate.contract.events import PaymentProcessed, PaymentRequested
from tollgate.messaging.connection import Broker
from tollgate.messaging.jetstream_errors import TRANSIENT
from tollgate.messaging.log import Log
from tollgate.runtime.errors import BrokerUnavailableError, LogFullError

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
EVENT = PaymentRequested(ID, 1990, 1)
BEING_STORED = {
    "error": {"code": 409, "err_code": 10158, "description": "duplicate message id is in process"},
    "stream": "PAYMENTS",
    "seq": 0,
}
FULL = {
    "error": {"code": 503, "err_code": 10077, "description": "maximum bytes exceeded"},
    "stream": "PAYMENTS",
    "seq": 0,
}


class Answers:
    """A broker that gives these answers to what is published, the last of them again and again."""

    is_connected = True

    def __init__(self, *answers: object, messages: dict[int, dict[str, Any]] | None = None) -> None:
        self._answers = list(answers)
        self._messages = messages or {}
        self.published: list[str] = []

    async def ask(self, _: str, __: bytes, *, headers: dict[str, str], **___: float) -> object:
        self.published.append(headers["Nats-Msg-Id"])
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        return SimpleNamespace(data=orjson.dumps(answer))

    async def request(self, _: str, payload: bytes, **__: float) -> dict[str, Any]:
        sequence = orjson.loads(payload)["seq"]
        return {"message": {"seq": sequence, "time": "2026-01-01T00:00:00Z", **self._messages[sequence]}}


def stored(subject: str, payload: bytes) -> dict[str, Any]:
    return {"subject": subject, "data": b64encode(payload).decode()}


def log_at(broker: Answers) -> Log:
    return Log(cast("Broker", broker))


@pytest.mark.parametrize("number", sorted(TRANSIENT))
async def test_what_goes_away_by_itself_is_waited_out(number: int) -> None:
    error = {"error": {**BEING_STORED["error"], "err_code": number}}  # type: ignore[dict-item]
    broker = Answers(error, error, {"stream": "PAYMENTS", "seq": 7})
    assert (await log_at(broker).append(EVENT, timeout_seconds=5)).sequence == 7
    assert broker.published == [ID] * 3


async def test_an_id_that_is_being_stored_is_known_as_a_repeat_then() -> None:
    broker = Answers(
        BEING_STORED,
        {"stream": "PAYMENTS", "seq": 7, "duplicate": True},
        messages={7: stored("payments.requested", encode(EVENT))},
    )
    assert (await log_at(broker).append(EVENT, timeout_seconds=5)).existing == EVENT


async def test_it_is_waited_for_until_the_deadline_and_then_the_outcome_is_unknown() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(BrokerUnavailableError, match="duplicate message id is in process"):
        await log_at(Answers(BEING_STORED)).append(EVENT, timeout_seconds=0.3)
    assert asyncio.get_running_loop().time() - began < 1


async def test_a_full_log_is_told_at_once() -> None:
    broker = Answers(FULL)
    with pytest.raises(LogFullError, match="maximum bytes"):
        await log_at(broker).append(EVENT, timeout_seconds=5)
    assert broker.published == [ID]


@pytest.mark.parametrize(
    "occupant",
    [
        stored("payments.requested", encode(PaymentRequested(ID[:-1] + "4", 5, 1))),
        stored("payments.requested", encode(PaymentProcessed(ID, 1990, 1, "default", 1, 2))),
        stored("payments.processed.default", encode(EVENT)),
        stored("payments.requested", b"{}"),
        stored("payments.requested", encode(EVENT) + b"\n" + encode(EVENT)),
    ],
    ids=["another payment", "another event", "another subject", "no event", "two events"],
)
async def test_an_event_is_no_repeat_of_what_took_its_id(occupant: dict[str, Any]) -> None:
    broker = Answers(
        {"stream": "PAYMENTS", "seq": 3, "duplicate": True}, {"stream": "PAYMENTS", "seq": 7}, messages={3: occupant}
    )
    appended = await log_at(broker).append(EVENT, timeout_seconds=5)
    assert (appended.sequence, appended.existing) == (7, None)
    # The same for every client, so that the second of two is known as a repeat.
    assert broker.published == [ID, f"{ID}@3"]


async def test_ids_are_not_tried_for_ever() -> None:
    broker = Answers(
        {"stream": "PAYMENTS", "seq": 3, "duplicate": True}, messages={3: stored("payments.requested", b"{}")}
    )
    with pytest.raises(BrokerUnavailableError):
        await log_at(broker).append(EVENT, timeout_seconds=5)
    assert len(broker.published) < 10
