"""A look at the log while events are acknowledged."""

from base64 import b64encode
from typing import cast

import orjson
import pytest

from tollgate.contract.log_mark import LogMark, LogState
from tollgate.messaging.connection import Broker
from tollgate.messaging.log_watch import LogWatch
from tollgate.runtime.errors import LogChangedError


class AnsweringBroker:
    """Answers with a state that is older than an acknowledgement received meanwhile."""

    generation, is_connected = 1, True

    def __init__(self) -> None:
        self.watch: LogWatch | None = None

    async def connected(self) -> int:
        return self.generation

    async def log_state(self, **_: float) -> LogState:
        assert self.watch is not None
        self.watch.note_stored(9, b"a request")
        return LogState(identity="a", first_sequence=1, last_sequence=6, last_stored_at_us=60, messages=6)


async def test_an_acknowledgement_that_overtakes_the_answer_is_no_log_that_went_back() -> None:
    broker = AnsweringBroker()
    watch = broker.watch = LogWatch(cast("Broker", broker))
    await watch.look()
    state = await watch.look()
    assert (state.last_sequence, watch.is_sure) == (6, True)


class ReplacedBroker:
    """Its first connection is lost while an answer is under way, and the second one's log went back, and grew."""

    generation, is_connected = 1, True
    last_sequence = 6
    is_about_to_go = False

    async def connected(self) -> int:
        return self.generation

    async def log_state(self, **_: float) -> LogState:
        if self.is_about_to_go:
            self.is_about_to_go, self.generation, self.last_sequence = False, 2, 9
        return LogState(1, self.last_sequence, "a", self.last_sequence * 10, self.last_sequence)

    async def request(self, subject: str, payload: bytes, **_: float) -> dict[str, object]:
        assert (subject, payload) == ("$JS.API.STREAM.MSG.GET.PAYMENTS", b'{"seq":6}')
        return {"message": {"seq": 6, "subject": "payments.requested", "time": "1970-01-01T00:00:00.000061Z"}}


async def test_an_answer_over_a_new_connection_moves_no_mark_before_that_was_compared() -> None:
    broker = ReplacedBroker()
    watch = LogWatch(cast("Broker", broker))
    await watch.look()
    broker.is_about_to_go = True
    with pytest.raises(LogChangedError, match="went back before 6, and has grown since"):
        await watch.look()


class RestoredBroker:
    """After its second connection, another message is stored where this program's last one was."""

    generation, is_connected = 1, True
    stored = b"mine"

    async def connected(self) -> int:
        return self.generation

    async def log_state(self, **_: float) -> LogState:
        return LogState(identity="a", first_sequence=1, last_sequence=6, last_stored_at_us=60, messages=6)

    async def request(self, subject: str, payload: bytes, **_: float) -> dict[str, object]:
        assert subject == "$JS.API.STREAM.MSG.GET.PAYMENTS"
        sequence = orjson.loads(payload)["seq"]
        data = b64encode(self.stored).decode()
        time = f"1970-01-01T00:00:00.0000{sequence}0Z"
        return {"message": {"seq": sequence, "subject": "payments.requested", "time": time, "data": data}}


@pytest.mark.parametrize(("is_repeat", "changed"), [(False, True), (True, False)])
async def test_another_message_in_place_of_one_that_was_stored_and_not_yet_read_is_another_log(
    is_repeat: bool, changed: bool
) -> None:
    broker = RestoredBroker()
    watch = LogWatch(cast("Broker", broker), LogMark("a", sequence=5, stored_at_us=50))
    watch.note_stored(6, None if is_repeat else b"mine")
    await watch.look()
    watch.mark = LogMark("a", sequence=5, stored_at_us=50, end=6)
    broker.generation, broker.stored = 2, b"another's"
    if changed:
        with pytest.raises(LogChangedError, match="went back before 6, and has grown since"):
            await watch.look()
        assert not watch.is_sure
    else:
        await watch.look()
        assert watch.is_sure
