"""Sends spans to a collector by OTLP (http/protobuf), with OpenTelemetry's SDK.

The SDK's thread encodes and sends; the program only puts spans into its queue. At the bound of the queue a span is
dropped, and a batch that the collector does not take is dropped after the exporter's own retries: no payment waits for
a collector. Both are counted; the program log folds their lines.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from tollgate.contract.trace_identity import TraceIdentity, is_sampled, rejection_threshold, trace_of, trace_state
from tollgate.runtime.retries import Retries
from tollgate.runtime.tracing import Kind, Span

logger = logging.getLogger(__name__)

QUEUE_SPANS_MAX = 1_024
"""Spans that wait to be sent, about 5 MB; one more is dropped."""
BATCH_SPANS_MAX = 256
"""Spans of one request, so that encoding them does not hold the interpreter for long."""
SEND_EVERY_SECONDS = 2.0
FLUSH_SECONDS = 2.0
"""How long a stopping program sends the spans that are left."""
REASON_CHARACTERS_MAX = 200
_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([\w ]+)")
"""What the system has reported, inside of three libraries' descriptions of it."""
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {kind: SpanKind[kind.value] for kind in Kind}
_NANOSECONDS_IN_MICROSECOND = 1_000


class OtlpTraces:
    """`Traces` that are sent to `endpoint`. `record` is for the thread of the event loop."""

    def __init__(self, endpoint: str, *, ratio: float, resource: Mapping[str, str], now_us: Callable[[], int]) -> None:
        self.now_us = now_us
        self._threshold = rejection_threshold(ratio)
        self._derived = _Derived()
        self._exporter = _CountingExporter(OTLPSpanExporter(endpoint), endpoint)
        self._processor = BatchSpanProcessor(
            self._exporter,
            # Full only after `record` has begun to drop.
            max_queue_size=QUEUE_SPANS_MAX + BATCH_SPANS_MAX,
            max_export_batch_size=BATCH_SPANS_MAX,
            schedule_delay_millis=SEND_EVERY_SECONDS * 1_000,
        )
        provider = TracerProvider(
            sampler=self._derived,
            id_generator=self._derived,
            resource=Resource.create(resource),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("tollgate")
        self._recorded = 0
        self._dropped = 0
        self._dropping = _lines("a span was dropped")
        logger.info("traces of %g %% of the payments go to %s", ratio * 100, _shown(endpoint))

    def samples(self, correlation_id: str) -> bool:
        """As `Traces.samples`."""
        return is_sampled(correlation_id, self._threshold)

    def record(self, span: Span) -> None:
        """As `Traces.record`. A span that finds the queue full is dropped."""
        if self._recorded - self._exporter.taken >= QUEUE_SPANS_MAX:
            self._dropped += 1
            self._dropping.failed(f"{QUEUE_SPANS_MAX} wait to be sent")
            return
        self._recorded += 1
        trace = trace_of(span.correlation_id)
        state = TraceState([("ot", trace_state(trace, self._threshold))])
        self._derived.set(trace, state, is_root=span.is_root)
        recorded = self._tracer.start_span(
            span.name,
            context=Context() if span.is_root else _below_root(trace, state),
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            start_time=span.began_us * _NANOSECONDS_IN_MICROSECOND,
        )
        if span.error:
            recorded.set_status(Status(StatusCode.ERROR, span.error))
        # A clock that was set meanwhile must not make a span end before it began.
        recorded.end(max(span.ended_us, span.began_us) * _NANOSECONDS_IN_MICROSECOND)

    async def run(self) -> None:
        """As `Exporting.run`: the SDK's own thread sends. At the end it gets FLUSH_SECONDS for what is left."""
        try:
            await asyncio.Event().wait()
        finally:
            # A daemon: a collector that does not answer must not hold up the exit.
            flushing = threading.Thread(target=self._processor.shutdown, name="traces-flush", daemon=True)
            flushing.start()
            await asyncio.to_thread(flushing.join, FLUSH_SECONDS)
            if lost := self._recorded - self._exporter.sent + self._dropped:
                logger.warning(
                    "%d of %d spans were not sent, %d of them because too many waited; the exporter's last error: %s",
                    *(lost, self._recorded + self._dropped, self._dropped, self._exporter.reason),
                )
            if flushing.is_alive():
                # Ends the pause before its next try.
                self._exporter.shutdown()


class _Derived(RandomIdGenerator, Sampler):
    """Gives the SDK the ids and the trace state of the span that is about to start; every span is sampled."""

    def __init__(self) -> None:
        self._root: TraceIdentity | None = None
        self._trace_state: TraceState | None = None

    def set(self, trace: TraceIdentity, state: TraceState, *, is_root: bool) -> None:
        """What the next span belongs to."""
        self._root, self._trace_state = trace if is_root else None, state

    def generate_trace_id(self) -> int:
        assert self._root is not None, "every span but the root has a parent"  # noqa: S101
        return self._root.trace_id

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self._root is None else self._root.root_span_id

    def should_sample(  # noqa: PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        del parent_context, trace_id, name, kind, links, trace_state
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, self._trace_state)

    def get_description(self) -> str:
        return "by the hash of the correlationId"


class _CountingExporter(SpanExporter):
    """Counts what is taken from the queue and sent. Runs in the SDK's thread."""

    def __init__(self, exporter: OTLPSpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._last_line = _LastLine()
        self._failing = _lines(f"a batch of spans was not taken by {_shown(endpoint)}, and is dropped")
        self.taken = 0
        """Spans that are no longer in the queue."""
        self.sent = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
            self._failing.succeeded()
        else:
            self._failing.failed(self.reason)
        return result

    @property
    def reason(self) -> str:
        """Why a batch was not taken, as far as is known."""
        return self._last_line.text

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _LastLine(logging.Handler):
    """Keeps the last line of the SDK's exporter, which writes one for each try, and would fill the program log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = "none"
        of_exporter = logging.getLogger(OTLPSpanExporter.__module__)
        of_exporter.addHandler(self)
        of_exporter.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        # The last line of several tries names no reason.
        text = record.getMessage()
        if "due to timeout" not in text:
            system_error = _SYSTEM_ERROR.search(text)
            self.text = system_error[1] if system_error else text[:REASON_CHARACTERS_MAX]


def _below_root(trace: TraceIdentity, state: TraceState) -> Context:
    root = SpanContext(trace.trace_id, trace.root_span_id, is_remote=True, trace_flags=_SAMPLED, trace_state=state)
    return set_span_in_context(NonRecordingSpan(root), Context())


def _lines(what: str) -> Retries:
    """Only its thinning of lines is used, not its pauses."""
    return Retries(logger, what, pause_seconds_min=0.0, pause_seconds_max=0.0)


def _shown(endpoint: str) -> str:
    """Without a user's password."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
