"""The parts of a gateway whose work is traced: each does as its base does, and records spans."""

from collections.abc import Sequence

from tollgate.contract.events import PaymentRequested
from tollgate.contract.subjects import REQUESTED
from tollgate.gateway.accept import Acceptance
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.metered_log import MeteredLog
from tollgate.gateway.metrics import GatewayMetrics
from tollgate.gateway.problems import Problem
from tollgate.gateway.requests import PaymentOrder
from tollgate.messaging.broker_clock import BrokerClock
from tollgate.messaging.connection import Broker
from tollgate.messaging.log_watch import LogWatch
from tollgate.messaging.read_model_client import ReadModel
from tollgate.runtime.tracing import Attributes, Kind, Span, Traces, messaging

SERVER_ERROR = 500


class TracedLog(MeteredLog):
    """Records the append of each request, and remembers which payments were stored here."""

    def __init__(self, broker: Broker, watch: LogWatch, metrics: GatewayMetrics, traces: Traces) -> None:
        super().__init__(broker, watch, metrics)
        self._traces = traces
        self.stored_here: dict[str, bool] = {}
        """By the id of each sampled payment that is being accepted: whether the broker has stored its request."""

    async def append_requests(self, requests: Sequence[PaymentRequested], *, after: int, timeout_seconds: float) -> int:
        """As `MeteredLog.append_requests`. A group that was not stored leaves no span."""
        began_us = self._traces.now_us()
        sequence = await super().append_requests(requests, after=after, timeout_seconds=timeout_seconds)
        ended_us = self._traces.now_us()
        for request in requests:
            correlation_id = request.correlation_id
            if correlation_id in self.stored_here:
                self.stored_here[correlation_id] = True
                attributes = messaging("append", "send", REQUESTED, correlation_id, sequence=sequence)
                more: Attributes = {**attributes, "messaging.batch.message_count": len(requests)}
                name = f"append {REQUESTED}"
                self._traces.record(Span(correlation_id, name, Kind.PRODUCER, began_us, ended_us, more))
        return sequence


class TracedAcceptance(Acceptance):
    """Records each payment's acceptance or refusal.

    The span of the request that is in the log is the root of the trace. Spans of repeats and refusals are below it.
    """

    def __init__(
        self,
        log: TracedLog,
        read_model: ReadModel,
        dedup_index: DedupIndex,
        clock: BrokerClock,
        *,
        timeout_seconds: float,
        traces: Traces,
    ) -> None:
        super().__init__(log, read_model, dedup_index, clock, timeout_seconds=timeout_seconds)
        self._traces = traces
        self._stored_here = log.stored_here

    async def accept(self, order: PaymentOrder) -> None:
        """As `Acceptance.accept`."""
        correlation_id = order.correlation_id
        if not self._traces.samples(correlation_id):
            await super().accept(order)
            return
        began_us = self._traces.now_us()
        self._stored_here[correlation_id] = False
        status, error = 202, ""
        try:
            await super().accept(order)
        except Problem as problem:
            status, error = problem.status, str(problem)
            raise
        except BaseException as failure:
            status, error = SERVER_ERROR, type(failure).__name__
            raise
        finally:
            is_stored = self._stored_here.pop(correlation_id, False)
            self._record(correlation_id, began_us, status, error, is_root=is_stored and not error)

    def _record(self, correlation_id: str, began_us: int, status: int, error: str, *, is_root: bool) -> None:
        attributes: Attributes = {
            "http.request.method": "POST",
            "http.route": "/payments",
            "http.response.status_code": status,
            "tollgate.correlation_id": correlation_id,
            "tollgate.is_repeat": not (is_root or error),
        }
        ended_us = self._traces.now_us()
        # By the convention for servers, a refusal of what a client sent is no error of the server.
        shown = error if status >= SERVER_ERROR else ""
        name = "POST /payments"
        self._traces.record(
            Span(correlation_id, name, Kind.SERVER, began_us, ended_us, attributes, shown, is_root=is_root)
        )
