"""One delivered release: the payment of an attempt that an operator released is routed anew.

The payment's request is done, and so is its doubt. So the operator's release in the log is the unit of work, and is
handled as the request would be.
"""

from dataclasses import dataclass

from tollgate.contract.events import PaymentReleased
from tollgate.processor.charging.attempts import INTENT_TIMEOUT_SECONDS, Attempts
from tollgate.processor.charging.handler import Done, PaymentHandler, Result, Work
from tollgate.processor.charging.histories import Histories
from tollgate.processor.charging.ports import LogFollower


@dataclass(frozen=True, slots=True)
class Released:
    """A delivered PaymentReleased: its sequence, and how often it was delivered."""

    event: PaymentReleased
    sequence: int
    deliveries: int


class ReleaseHandler:
    """Handles releases."""

    def __init__(
        self, payments: PaymentHandler, follower: LogFollower, histories: Histories, attempts: Attempts
    ) -> None:
        self._attempts = attempts
        self._payments = payments
        self._follower = follower
        self._histories = histories

    async def handle(self, release: Released) -> Result:
        """Routes the payment anew.

        Raises UnknownPaymentError, BrokerError and ReadModelUnavailableError; the release is then delivered again.
        """
        if release.event.resolution is None:
            # Released by a replica that has the payment in hand and continues with it.
            return Done()
        if release.deliveries == 1:
            self._attempts.note_manual_resolution(release.event, "released", release.sequence)
        await self._follower.reached(release.sequence, timeout_seconds=INTENT_TIMEOUT_SECONDS)
        stored = await self._histories.request_of(release.event.correlation_id)
        return await self._payments.handle(
            Work(stored.request, stored.sequence, release.deliveries, stored.stored_at_us)
        )
