"""Intake of requests: as many payments as the router has room for, and the replica has places in hand for."""

from math import ceil

from tollgate.contract.events import Event, PaymentRequested
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import QueueState
from tollgate.messaging.pull_consumer import PULL_EXPIRES_SECONDS, Delivery
from tollgate.processor.charging.handler import Done, PaymentHandler, Result, Work
from tollgate.processor.charging.ports import BrokerAlignedClock
from tollgate.processor.intake.queue_intake import QueueIntake
from tollgate.processor.intake.queues import REQUESTS
from tollgate.processor.routing import Router
from tollgate.runtime.errors import FatalError

GATHER_SECONDS = 0.04
"""How long requests gather in the queue after others were taken. Those that begin together are delivered, written,
stored and read back together, for a fifth less CPU in broker and replica; no client waits for a charge
(docs/decisions/0018, 0049, 0052)."""
POLL_SECONDS = 0.5
"""The pause between two checks for room while a pull is open, and payments go to the provider with the lower fee."""
PROBE_POLL_SECONDS = 0.05
"""The pause between two checks whether a circuit may be probed again, while nothing is taken."""
IN_HAND_FACTOR = 1.25
"""Payments in hand per call that may be under way. The rest are payments before their call, or after it until their
outcome is stored. In one bound with the calls, a slow provider's payments would take the places of the fast one's."""
OWED_MAX = 64
"""The most messages that are asked for at once: they hold at most 2,048 payments more than there is room for, if each
has many where the ones before had one. Those that cannot be routed then go back to the queue."""


class RequestRule:
    """The rule of the queue of requests."""

    pull_seconds = PULL_EXPIRES_SECONDS
    gather_seconds = GATHER_SECONDS

    def __init__(
        self,
        handler: PaymentHandler,
        router: Router,
        clock: BrokerAlignedClock,
        *,
        concurrency: int,
        start_sequence: int,
    ) -> None:
        self._clock = clock
        self._handler = handler
        self._router = router
        self._in_hand_max = int(concurrency * IN_HAND_FACTOR)
        self._start_sequence = start_sequence

    def poll_seconds(self, owed: int) -> float:
        return POLL_SECONDS if owed and not self._router.is_down else PROBE_POLL_SECONDS

    def opened(self, state: QueueState, now: float) -> None:
        del now
        if state.floor + 1 < self._start_sequence:
            raise FatalError("the consumer of requests was set back; restarting to read the log from there")

    def room(self, in_hand: int, gathered: int, owed: int, now: float) -> int:
        if not (self._clock.is_right and self._handler.may_take):
            return 0
        if owed:
            return 0
        payments = min(self._router.room(now) - gathered, self._in_hand_max - in_hand)
        return min(ceil(payments / self._router.payments_per_delivery), OWED_MAX)

    def delivered(self, delivery: Delivery, events: int, now: float) -> None:
        self._router.observe_delivery(
            delivered=delivery.info.consumer_sequence,
            pending=delivery.info.pending,
            payments=events,
            is_redelivery=delivery.info.deliveries > 1,
            now=now,
        )

    def none_delivered(self) -> None:
        return


def requests_queue(
    broker: Broker,
    handler: PaymentHandler,
    router: Router,
    clock: BrokerAlignedClock,
    *,
    concurrency: int,
    start_sequence: int,
) -> QueueIntake:
    """The queue of requests: up to `concurrency` calls under way, and IN_HAND_FACTOR times as many payments in hand."""

    async def handle(delivery: Delivery, event: Event) -> Result:
        if not isinstance(event, PaymentRequested):
            return Done()
        info = delivery.info
        return await handler.handle(Work(event, info.sequence, info.deliveries, info.stored_at_us))

    rule = RequestRule(handler, router, clock, concurrency=concurrency, start_sequence=start_sequence)
    return QueueIntake(broker, REQUESTS, rule, handle)
