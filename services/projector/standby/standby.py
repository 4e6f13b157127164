"""Asks in rounds which projectors run, and gives this one the turn while no better one does."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator

from tollgate.contract.projector_presence import PRESENCE, Presence, decode_presence, encode_presence
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import answering, gather_answers
from tollgate.projector.standby.election import Election
from tollgate.projector.standby.turn import Turn
from tollgate.runtime.log_fields import about
from tollgate.runtime.process import run_together

logger = logging.getLogger(__name__)

ROUND_SECONDS = 0.3
"""The pause between two rounds; a round itself takes about as long."""
LOOK_SECONDS = 1.0
"""The pause between two checks whether the read model reaches the log's end."""
CURRENT_SECONDS = 5.0
"""A projector that has not read to the log's end for so long is not current."""


class Standby:
    """This projector's part. `catch_up` is whether its read model reaches the log's end of the call, in time."""

    def __init__(self, broker: Broker, turn: Turn, catch_up: Callable[[], Awaitable[bool]]) -> None:
        self._broker = broker
        self._turn = turn
        self._catch_up = catch_up
        self._election = Election(turn.instance)
        self._current_at = float("-inf")

    async def run(self) -> None:
        """Runs until cancelled."""
        if not self._turn.has_standby:
            await self._broker.until_closed()
        async with answering(self._broker, PRESENCE, lambda: encode_presence(self._presence())):
            await run_together(self._elect(), self._look())

    def _presence(self) -> Presence:
        is_current = time.monotonic() - self._current_at <= CURRENT_SECONDS
        return Presence(self._turn.instance, is_current=is_current, is_active=self._turn.is_mine)

    async def _look(self) -> None:
        while True:
            asked_at = time.monotonic()
            if await self._catch_up():
                self._current_at = asked_at
            await asyncio.sleep(LOOK_SECONDS)

    async def _elect(self) -> None:
        while True:
            await self._broker.connected()
            self._election.hear(list(_decoded(await gather_answers(self._broker, PRESENCE))))
            if self._election.is_won != self._turn.is_mine:
                await self._turn.set(is_mine=self._election.is_won)
                logger.warning(
                    "this projector answers questions from now on"
                    if self._turn.is_mine
                    else "another projector answers questions; this one follows the log",
                    extra=about(event="turn_taken" if self._turn.is_mine else "turn_lost"),
                )
            await asyncio.sleep(ROUND_SECONDS)


def _decoded(answers: Iterable[bytes]) -> Iterator[Presence]:
    for one in answers:
        try:
            yield decode_presence(one)
        except ValueError as error:
            logger.warning("an answer on %s cannot be used: %s", PRESENCE, error)
