"""The metrics of a gateway."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tollgate.contract.batch import EVENTS_MAX
from tollgate.gateway.accept import Acceptance
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.query import Ledger
from tollgate.messaging.broker_clock import BrokerClock
from tollgate.runtime.metrics import SECONDS_BUCKETS, clock_gauge, watch, watch_clock

GROUP_BUCKETS = (1, 2, 4, 8, 16, EVENTS_MAX)
REFUSALS = {
    400: "malformed",
    408: "incomplete",
    409: "conflict",
    413: "too_large",
    415: "unsupported",
    422: "invalid",
    500: "failed",
    503: "unavailable",
}
"""Reasons by status of the answer; any other status is counted as `failed`."""


class GatewayMetrics:
    """Counted by the handlers and the writer; states are read through the functions given to the gauges."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clock_offset = clock_gauge(registry)
        self.accepted = Counter(
            "tollgate_payments_accepted", "Payments answered with 202, repeats included.", registry=registry
        )
        refused = Counter(
            "tollgate_payments_refused", "Payments not accepted, by reason.", ["reason"], registry=registry
        )
        self._refused = {status: refused.labels(reason) for status, reason in REFUSALS.items()}
        self.accept_seconds = Histogram(
            "tollgate_accept_duration_seconds",
            "From the whole request to the answer 202.",
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.append_seconds = Histogram(
            "tollgate_append_duration_seconds",
            "From sending a group of requests to the broker's acknowledgement.",
            registry=registry,
            buckets=SECONDS_BUCKETS,
        )
        self.group_size = Histogram(
            "tollgate_append_group_size", "Requests in one message.", registry=registry, buckets=GROUP_BUCKETS
        )
        self.waiting = Gauge("tollgate_accepts_waiting", "Payments that wait for their answer now.", registry=registry)
        self.is_ready = Gauge("tollgate_gateway_ready", "1 if payments are accepted, else 0.", registry=registry)
        self.log_last_sequence = Gauge(
            "tollgate_dedup_last_sequence",
            "The sequence of the last request that this gateway has read.",
            registry=registry,
        )

        self.filter_bytes = Gauge(
            "tollgate_dedup_filter_bytes", "The size of the filter of all ids in memory.", registry=registry
        )

    def watch(self, acceptance: Acceptance, ledger: Ledger, dedup_index: DedupIndex, clock: BrokerClock) -> None:
        """Reads the states from these whenever somebody asks."""
        watch(self.waiting, lambda: acceptance.in_flight)
        watch(self.is_ready, lambda: ledger.why_not_ready() is None)
        watch_clock(self.clock_offset, clock.offset)
        watch(self.filter_bytes, lambda: dedup_index.filter_bytes)
        watch(self.log_last_sequence, lambda: dedup_index.last_sequence)

    def refuse(self, status: int) -> None:
        """Counts a payment that was answered with this status."""
        self._refused.get(status, self._refused[500]).inc()
