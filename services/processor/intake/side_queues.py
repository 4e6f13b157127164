"""Intake from the side queues: the doubts at each provider, and the attempts that operators released."""

import logging
import time

from tollgate.contract.events import Event, PaymentInDoubt, PaymentReleased, ProviderName
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import QueueState
from tollgate.messaging.pull_consumer import PULL_EXPIRES_SECONDS, Delivery
from tollgate.processor.charging.doubt_handler import Doubt, DoubtHandler
from tollgate.processor.charging.handler import Done, Result
from tollgate.processor.charging.release_handler import Released, ReleaseHandler
from tollgate.processor.intake.queue_intake import QueueIntake
from tollgate.processor.intake.queues import DOUBTS, RELEASED
from tollgate.processor.routing import Pace, Router
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""The pause between two checks whether more may be taken, while no delivery ends."""
PROBE_POLL_SECONDS = 0.05
"""The same while a provider is down, and the next probe is soon due."""
PROBE_PULL_SECONDS = 1.0
"""How long a pull for a doubt that is to probe stays open. If none is delivered, there is none."""


def doubts_queue(broker: Broker, provider: ProviderName, handler: DoubtHandler, router: Router) -> QueueIntake:
    """The queue of doubts at one provider."""

    async def handle(delivery: Delivery, event: Event) -> Result:
        if not isinstance(event, PaymentInDoubt):
            return _passed_over(delivery, event)
        return await handler.handle(Doubt(event, delivery.info.sequence, delivery.info.deliveries))

    return QueueIntake(broker, DOUBTS[provider], DoubtRule(router, provider), handle)


def released_queue(broker: Broker, handler: ReleaseHandler) -> QueueIntake:
    """The queue of attempts that operators released."""

    async def handle(delivery: Delivery, event: Event) -> Result:
        if not isinstance(event, PaymentReleased):
            return _passed_over(delivery, event)
        result = await handler.handle(Released(event, delivery.info.sequence, delivery.info.deliveries))
        rule.answered(result, time.monotonic())
        return result

    rule = ReleaseRule()
    return QueueIntake(broker, RELEASED, rule, handle)


class DoubtRule:
    """The rule of a queue of doubts: the router's, because it depends on whether the provider is down."""

    gather_seconds = 0.0

    def __init__(self, router: Router, provider: ProviderName) -> None:
        self._router = router
        self._provider: ProviderName = provider
        self._is_first = True

    def poll_seconds(self, owed: int) -> float:
        del owed
        return PROBE_POLL_SECONDS if self._router.is_probing(self._provider) else POLL_SECONDS

    @property
    def pull_seconds(self) -> float:
        return PROBE_PULL_SECONDS if self._router.is_probing(self._provider) else PULL_EXPIRES_SECONDS

    def opened(self, state: QueueState, now: float) -> None:
        if self._is_first:
            self._router.observe_waiting_doubts(self._provider, state.waiting, now)
        self._is_first = False

    def room(self, in_hand: int, gathered: int, owed: int, now: float) -> int:
        del gathered
        return self._router.room_for_doubts(self._provider, in_hand + owed, now)

    def delivered(self, delivery: Delivery, events: int, now: float) -> None:
        del delivery, events, now
        self._router.observe_doubts(self._provider, are_there=True)

    def none_delivered(self) -> None:
        self._router.observe_doubts(self._provider, are_there=False)


class ReleaseRule:
    """The rule of the queue of releases: as many as can be routed."""

    pull_seconds = PULL_EXPIRES_SECONDS
    gather_seconds = 0.0

    def __init__(self) -> None:
        self._pace = Pace()

    def poll_seconds(self, owed: int) -> float:
        del owed
        return POLL_SECONDS

    def opened(self, state: QueueState, now: float) -> None:
        del state, now

    def room(self, in_hand: int, gathered: int, owed: int, now: float) -> int:
        del gathered
        return self._pace.room(in_hand + owed, now)

    def delivered(self, delivery: Delivery, events: int, now: float) -> None:
        del delivery, events, now

    def none_delivered(self) -> None:
        return

    def answered(self, result: Result, now: float) -> None:
        """A release that has to wait slows down the taking of others."""
        if isinstance(result, Done):
            self._pace.ended()
        else:
            self._pace.stays(now)


def _passed_over(delivery: Delivery, event: Event) -> Done:
    sequence = delivery.info.sequence
    logger.error("message %d is a %s, and is skipped", sequence, type(event).__name__, extra=about(sequence=sequence))
    return Done()
