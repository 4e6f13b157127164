"""A collector for OpenTelemetry: an HTTP server that takes spans as OTLP, and keeps them."""

from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.ports import free_port


@dataclass(frozen=True)
class Received:
    """A span with the name of the service that sent it."""

    service: str
    span: Span

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def attributes(self) -> dict[str, object]:
        return _values(self.span.attributes)


class Collector:
    """Used as `async with Collector() as collector`."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Received] = []
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def of(self, trace_id: str) -> list[Received]:
        """The spans of a trace, the earliest first."""
        return sorted(
            (one for one in self.spans if one.trace_id == trace_id), key=lambda one: one.span.start_time_unix_nano
        )

    def names(self) -> Counter[str]:
        return Counter(one.span.name for one in self.spans)

    async def _take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        taken = ExportTraceServiceRequest.FromString(await request.read())
        for resource in taken.resource_spans:
            service = str(_values(resource.resource.attributes)["service.name"])
            self.spans += [Received(service, span) for scope in resource.scope_spans for span in scope.spans]
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )


def _values(attributes: "list[KeyValue]") -> dict[str, object]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}
