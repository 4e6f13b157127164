"""A look at the log while events are acknowledged."""

from typing import cast

from contract.log_mark import LogState
from runtime.broker import Broker
from runtime.log_watch import LogWatch


class AnsweringBroker:
    """Tells a state that is older than what is acknowledged while its answer is under way."""

    generation, is_connected = 1, True

    def __init__(self) -> None:
        self.watch: LogWatch | None = None

    async def log_state(self, **_: float) -> LogState:
        assert self.watch is not None
        self.watch.note_end(9)
        return LogState(identity="a", first_sequence=1, last_sequence=6, last_stored_at_us=60, messages=6)


async def test_an_acknowledgement_that_overtakes_the_answer_is_no_log_that_went_back() -> None:
    broker = AnsweringBroker()
    watch = broker.watch = LogWatch(cast("Broker", broker))
    await watch.look()
    state = await watch.look()
    assert (state.last_sequence, watch.is_sure) == (6, True)
