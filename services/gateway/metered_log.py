"""The log as a gateway uses it, with its appends measured."""

import time
from collections.abc import Sequence

from tollgate.contract.events import PaymentRequested
from tollgate.gateway.metrics import GatewayMetrics
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.log_watch import LogWatch


class MeteredLog(Log):
    """Counts the groups that the broker has stored, and how long that took."""

    def __init__(self, broker: Broker, watch: LogWatch, metrics: GatewayMetrics) -> None:
        super().__init__(broker, watch)
        self._metrics = metrics

    async def append_requests(self, requests: Sequence[PaymentRequested], *, after: int, timeout_seconds: float) -> int:
        """As `Log.append_requests`. A group that was not stored is not counted."""
        began = time.perf_counter()
        sequence = await super().append_requests(requests, after=after, timeout_seconds=timeout_seconds)
        self._metrics.append_seconds.observe(time.perf_counter() - began)
        self._metrics.group_size.observe(len(requests))
        return sequence
