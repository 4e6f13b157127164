"""Records when the outcome of a payment was committed to the read model."""

from tollgate.contract.timestamps import MICROSECONDS
from tollgate.projector.live.follower import Observer
from tollgate.projector.live.projection import Change, RejectedRow, SettledRow
from tollgate.runtime.tracing import Kind, Span, Traces, messaging

AGE_SECONDS_MAX = 3_600
"""Older outcomes leave no span: a read model that is built anew reads them all again."""


class ProjectionSpans:
    """An observer of the follower: the outcomes that were applied, and the commit that ends their spans.

    `also` is another observer, which is told the same.
    """

    def __init__(self, traces: Traces, also: Observer) -> None:
        self._traces = traces
        self._also = also
        self._applied: list[tuple[SettledRow | RejectedRow, int]] = []

    def applied(self, change: Change, stored_at_us: int) -> None:
        """The outcome that the broker stored then was applied."""
        self._also.applied(change, stored_at_us)
        if isinstance(change, SettledRow | RejectedRow) and self._traces.samples(change.correlation_id):
            self._applied.append((change, stored_at_us))

    def committed(self, seconds: float) -> None:
        """Everything that was applied is in the file."""
        self._also.committed(seconds)
        if not self._applied:
            return
        now_us = self._traces.now_us()
        for change, stored_at_us in self._applied:
            if now_us - stored_at_us <= AGE_SECONDS_MAX * MICROSECONDS:
                self._traces.record(_span(change, stored_at_us, now_us))
        self._applied.clear()


def _span(change: SettledRow | RejectedRow, stored_at_us: int, now_us: int) -> Span:
    subject = f"payments.processed.{change.provider}" if isinstance(change, SettledRow) else "payments.rejected"
    attributes = messaging("project", "process", subject, change.correlation_id, sequence=change.sequences[-1])
    return Span(change.correlation_id, f"project {subject}", Kind.CONSUMER, stored_at_us, now_us, attributes)
