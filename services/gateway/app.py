"""The HTTP routes. Each handler parses the request, calls one use case, and renders the answer."""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qs

import orjson
from blacksheep import Application, Content, Request, Response
from blacksheep.exceptions import MessageAborted

from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.timestamps import now_us
from tollgate.gateway.accept import Acceptance
from tollgate.gateway.metrics import GatewayMetrics
from tollgate.gateway.openapi import OPERATIONS, documentation
from tollgate.gateway.problems import RETRY_AFTER_SECONDS, Problem, malformed, unavailable
from tollgate.gateway.query import Ledger
from tollgate.gateway.readiness import Readiness
from tollgate.gateway.requests import BODY_BYTES_MAX, parse_correlation_id, parse_order, too_large
from tollgate.gateway.responses import render_payment, render_summary
from tollgate.gateway.routes import Routes
from tollgate.gateway.windows import parse_window
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)

QUERY_FIELDS_MAX = 16

Handler = Callable[[Request], Awaitable[Response]]


class Handlers:
    """The handlers, with the use cases as their only dependencies."""

    def __init__(
        self,
        acceptance: Acceptance,
        ledger: Ledger,
        readiness: Readiness,
        metrics: GatewayMetrics,
        *,
        allow_purge: bool,
    ) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._acceptance = acceptance
        self._ledger = ledger
        self._allow_purge = allow_purge

    async def post_payment(self, request: Request) -> Response:
        began = time.perf_counter()
        try:
            response = await self._accept(request)
        except Problem as problem:
            self._metrics.refuse(problem.status)
            if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
                why = problem.detail
                logger.warning("a payment is refused: %s", why, extra=about(event="payment_refused", reason=why))
            raise
        self._metrics.accepted.inc()
        self._metrics.accept_seconds.observe(time.perf_counter() - began)
        return response

    async def _accept(self, request: Request) -> Response:
        content_type, content_encoding = _header(request, b"content-type"), _header(request, b"content-encoding")
        order = parse_order(content_type, content_encoding, await _body(request))
        await self._acceptance.accept(order)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "payment %s is accepted",
                order.correlation_id,
                extra=about(event="payment_accepted", correlation_id=order.correlation_id),
            )
        return Response(202, [(b"location", f"/payments/{order.correlation_id}".encode())])

    async def get_payment(self, request: Request) -> Response:
        correlation_id = parse_correlation_id((request.route_values or {}).get("correlation_id"))
        view, history = await self._ledger.payment(correlation_id)
        return _json(render_payment(view, history, now_us=now_us()))

    async def get_summary(self, request: Request) -> Response:
        question = _window(request)
        summary = await self._ledger.summary(question)
        headers = [(b"tollgate-position", str(summary.position).encode())]
        if not question.is_of_the_past:
            headers.append((b"tollgate-settled", b"true" if summary.settled else b"false"))
            headers.append((b"tollgate-open", str(summary.open_attempts).encode()))
        return _json(render_summary(summary), *headers)

    async def purge(self, _: Request) -> Response:
        if not self._allow_purge:
            raise Problem(HTTPStatus.FORBIDDEN, "purging is switched off; ALLOW_PURGE=true switches it on")
        await self._ledger.purge()
        return _json(b'{"message":"All payments are purged."}')

    async def get_readyz(self, _: Request) -> Response:
        if (why_not := self._ledger.why_not_ready()) is not None:
            raise unavailable(why_not)
        if warnings := await self._readiness.warnings():
            return _json(orjson.dumps({"accepting": True, "warnings": warnings}))
        return Response(204)

    async def get_startedz(self, _: Request) -> Response:
        if not self._ledger.is_started:
            raise unavailable("the log is still being read")
        return Response(204)

    async def get_livez(self, _: Request) -> Response:
        return Response(204)

    async def get_healthcheck(self, _: Request) -> Response:
        return Response(204)


def create_app(handlers: Handlers) -> Application:
    """The application: the routes to `handlers`, their documentation, and problem details for everything else."""
    routes: tuple[tuple[str, str, Handler], ...] = (
        ("POST", "/payments", handlers.post_payment),
        ("GET", "/payments/{correlation_id}", handlers.get_payment),
        ("GET", "/payments-summary", handlers.get_summary),
        ("POST", "/purge-payments", handlers.purge),
        ("GET", "/healthcheck", handlers.get_healthcheck),
        ("GET", "/livez", handlers.get_livez),
        ("GET", "/startedz", handlers.get_startedz),
        ("GET", "/readyz", handlers.get_readyz),
    )
    router = Routes()
    app = Application(router=router, show_error_details=False)
    docs = documentation(app)
    for method, path, handler in routes:
        router.add_exact(method, path, docs(OPERATIONS[handler.__name__])(_guarded(handler)))
    router.fallback = _guarded(_not_found(router))
    return app


def _not_found(router: Routes) -> Handler:
    async def not_found(request: Request) -> Response:
        if allowed := router.methods_of(request.path):
            return _answer(Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"only {allowed} is served here"), allowed)
        raise Problem(HTTPStatus.NOT_FOUND, "there is nothing here; /docs lists what is")

    return not_found


def _guarded(handler: Handler) -> Handler:
    """Answers a Problem with its status, and any other exception with a 500 that reveals nothing internal."""

    @functools.wraps(handler)
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except Problem as problem:
            return _answer(problem)
        except asyncio.CancelledError:
            # Only a stop of the service cancels; without an answer the server would send a 500.
            return _answer(unavailable("the gateway is stopping; send it again"))
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            return _answer(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway failed; see its program log"))

    return guarded


async def _body(request: Request) -> bytes:
    """The body, read no further than its limit. Raises Problem (413, 400)."""
    length = request.headers.get_first(b"content-length")
    body = bytearray()
    try:
        if length is not None and length.isdigit():
            if int(length) > BODY_BYTES_MAX:
                raise too_large()
            # The server reads no more than the length.
            return await request.read() or b""
        async for chunk in request.stream():  # type: ignore[attr-defined]
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise too_large()
    except MessageAborted:
        raise malformed("the connection ended before the body was whole") from None
    return bytes(body)


def _window(request: Request) -> SummaryQuestion:
    text = (request.url.query or b"").decode("ascii", "replace")
    try:
        query = parse_qs(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        raise malformed(f"more than {QUERY_FIELDS_MAX} parameters") from None
    return parse_window(query)


def _header(request: Request, name: bytes) -> str | None:
    value = request.headers.get_first(name)
    return None if value is None else value.decode("latin-1")


def _json(body: bytes, *headers: tuple[bytes, bytes]) -> Response:
    return Response(200, list(headers), Content(b"application/json", body))


def _answer(problem: Problem, allow: str | None = None) -> Response:
    headers: list[tuple[bytes, bytes]] = []
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    if allow is not None:
        headers.append((b"allow", allow.encode()))
    return Response(problem.status, headers, Content(b"application/problem+json", problem.body()))
