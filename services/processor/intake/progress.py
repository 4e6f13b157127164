"""Whether payments are charged, and the obstacle if not: for status questions, and for the program log."""

import asyncio
import logging
import time

from tollgate.contract.replicas import REPLICAS, ReplicaStatus, encode_replica
from tollgate.contract.subjects import CONSUMER
from tollgate.contract.waiting import WaitingPayment
from tollgate.messaging.charging_facts import ask_queue, oldest_in
from tollgate.messaging.clock_watch import ClockWatch
from tollgate.messaging.connection import Broker
from tollgate.messaging.gathering import answering
from tollgate.messaging.log import Log
from tollgate.processor.charging.state_follower import Follower
from tollgate.processor.intake.queue_intake import QueueIntake
from tollgate.processor.routing import Router
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
STILL_SECONDS_MAX = 10.0
"""A line is logged when no payment has ended for this long, and one has waited for this long."""
REPEAT_SECONDS = 30.0


class Progress:
    """Observes one replica from outside of its tasks, so that a hanging task is noticed, too."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        log: Log,
        *,
        clock: ClockWatch,
        requests: QueueIntake,
        follower: Follower,
        router: Router,
    ) -> None:
        self._name = name
        self._broker = broker
        self._log = log
        self._clock = clock
        self._requests = requests
        self._follower = follower
        self._router = router
        self._logged_at = float("-inf")

    async def run(self) -> None:
        """Answers questions and logs until cancelled."""
        async with answering(self._broker, REPLICAS, lambda: encode_replica(self.status())):
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    await self._look()
                except BrokerError as error:
                    logger.warning("the number of waiting payments is unknown: %s", error)

    def status(self) -> ReplicaStatus:
        """The present status of this replica."""
        ended_at = self._follower.ended_at
        return ReplicaStatus(
            name=self._name,
            obstacle=self.obstacle(),
            in_hand=self._requests.in_hand,
            ended_seconds_ago=None if ended_at is None else time.monotonic() - ended_at,
            clock=self._clock.offset,
        )

    def obstacle(self) -> str:
        """The known reason why this replica does not charge; empty if there is none."""
        if not self._clock.is_right:
            return f"its clock is {self._clock.offset}"
        if (fault := self._follower.log_fault) is not None:
            return fault
        if not self._follower.is_started.is_set():
            return f"it reads the log first, and is at {self._follower.position}"
        if (refusal := self._log.refusal) is not None:
            return f"the broker stores no event: {refusal}"
        return self._router.obstacle(time.monotonic())

    async def _look(self) -> None:
        now = time.monotonic()
        ended_at = self._follower.ended_at
        is_still = ended_at is None or now - ended_at > STILL_SECONDS_MAX
        if not is_still or not self._broker.is_connected or now - self._logged_at < REPEAT_SECONDS:
            return
        queue = await ask_queue(self._broker, CONSUMER)
        oldest = None if queue is None else await oldest_in(self._broker, queue)
        if queue is None or oldest is None or oldest.age_seconds <= STILL_SECONDS_MAX:
            return
        self._logged_at = now
        line = self._line(oldest, queue.length, queue.under_way >= queue.under_way_max)
        logger.warning("%s", line, extra=about(event="payments_wait", waiting=queue.length, reason=self.obstacle()))

    def _line(self, oldest: WaitingPayment, waiting: int, is_bound_reached: bool) -> str:
        obstacle = self.obstacle() or "the cause is unknown to this replica"
        if is_bound_reached:
            obstacle = f"no more requests are delivered before some are done; {obstacle}"
        ended_at = self._follower.ended_at
        since = "since the start" if ended_at is None else f"for {time.monotonic() - ended_at:.0f} s"
        return f"no payment has ended {since}; {waiting} wait, the oldest for {oldest.age_seconds:.0f} s: {obstacle}"
