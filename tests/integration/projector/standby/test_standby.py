"""Two projectors on one log: one answers, and the other within seconds when that one is killed or stopped."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from tests.support.commands import run_command
from tests.support.conditions import eventually
from tests.support.nats_server import GuardedNatsServer
from tests.support.services import Projector
from tollgate.contract.codec import encode
from tollgate.contract.events import PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.projector_presence import PRESENCE, Presence, decode_presence
from tollgate.contract.read_model_api import Summary, SummaryQuestion
from tollgate.contract.subjects import subject_of
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import gather_answers
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError

TAKEOVER_SECONDS_MAX = 6.0
QUESTION_SECONDS = 1.0
STAMP_US = 1_000_000


class Pair:
    """Two projectors, and what is asked of them."""

    def __init__(self, server: GuardedNatsServer, folder: Path, broker: Broker) -> None:
        self.projectors = [self._projector(server, folder / name) for name in ("one", "two")]
        self.broker = broker
        self.settled = 0

    @staticmethod
    def _projector(server: GuardedNatsServer, folder: Path) -> Projector:
        folder.mkdir()
        return Projector(server.url("projector"), folder, PROJECTOR_STANDBY="true")

    async def present(self) -> list[Presence]:
        return [decode_presence(one) for one in await gather_answers(self.broker, PRESENCE)]

    async def one_answers(self) -> bool:
        present = await self.present()
        return (
            len(present) == 2 and all(one.is_current for one in present) and sum(one.is_active for one in present) == 1
        )

    async def active(self) -> Projector:
        (active,) = [one.instance for one in await self.present() if one.is_active]
        (found,) = [one for one in self.projectors if owner_of(one) == active]
        return found

    async def settle(self, gateway: Broker, processor: Broker) -> None:
        payment = str(uuid4())
        for broker, event in (
            (gateway, PaymentRequested(payment, 100, STAMP_US)),
            (processor, PaymentRouted(payment, 100, 1, "default", STAMP_US, "test")),
            (processor, PaymentProcessed(payment, 100, 1, "default", STAMP_US, STAMP_US)),
        ):
            await broker.ask(subject_of(event), encode(event), timeout_seconds=5)
        self.settled += 1

    async def summary(self) -> Summary | None:
        try:
            return await ReadModel(self.broker).summary(SummaryQuestion(), timeout_seconds=QUESTION_SECONDS)
        except ReadModelUnavailableError:
            return None


def owner_of(projector: Projector) -> str:
    return (projector.model_path.parent / "owner").read_text()


async def test_the_other_projector_answers_when_the_active_one_is_killed_or_stopped(tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        with GuardedNatsServer(tmp_path / "nats") as server:
            await server.ready()
            async with (
                Broker(server.url("operator"), name="test") as operator,
                Broker(server.url("gateway"), name="test") as gateway,
                Broker(server.url("processor"), name="test") as processor,
            ):
                pair = Pair(server, tmp_path, operator)
                with pair.projectors[0], pair.projectors[1]:
                    await eventually(pair.one_answers, what="one of two projectors answers", timeout_seconds=30)
                    await pair.settle(gateway, processor)

                    async def fault(harm: Callable[[Projector], None]) -> tuple[Projector, float]:
                        """The seconds from the fault to the first answer, which misses nothing."""
                        harmed = await pair.active()
                        harm(harmed)
                        began = time.monotonic()
                        await pair.settle(gateway, processor)
                        while (summary := await pair.summary()) is None:
                            assert time.monotonic() - began < TAKEOVER_SECONDS_MAX
                        assert summary.totals["default"].count == pair.settled
                        return harmed, time.monotonic() - began

                    killed, after_kill_seconds = await fault(Projector.kill)
                    killed.start()
                    await eventually(pair.one_answers, what="the killed one follows again", timeout_seconds=30)
                    assert await pair.active() is not killed

                    stopped, after_stop_seconds = await fault(Projector.pause)
                    await pair.settle(gateway, processor)
                    stopped.resume()

                    # The stopped one believes for a moment that it is still its turn. Whoever answers misses nothing.
                    async def one_answers_right() -> bool:
                        summary = await pair.summary()
                        assert summary is not None
                        assert summary.totals["default"].count == pair.settled
                        return await pair.one_answers()

                    await eventually(one_answers_right, what="one of both answers again", timeout_seconds=30)
                    print(f"answers after {after_kill_seconds:.1f} s (killed), {after_stop_seconds:.1f} s (stopped)")

                    # Each command reads the files that it is given, whichever projector answers questions.
                    for projector in pair.projectors:
                        ran = await asyncio.to_thread(
                            run_command,
                            *("projector", "query", "SELECT count(*) AS settled FROM settled_payments"),
                            NATS_URL=server.url("operator"),
                            DATA_DIR=str(projector.model_path.parent.parent),
                        )
                        assert (ran.status, str(pair.settled) in ran.output) == (0, True), ran.errors
