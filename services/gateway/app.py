"""The HTTP routes. Each handler parses the request, calls one use case, and renders the answer."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qs

import orjson
from blacksheep import Application, Content, Request, Response
from blacksheep.exceptions import MessageAborted

from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.timestamps import now_us
from tollgate.gateway.answer import Answer, answer_of
from tollgate.gateway.openapi import OPERATIONS, documentation
from tollgate.gateway.payment_endpoint import PaymentEndpoint
from tollgate.gateway.problems import FAILED, STOPPING, Problem, malformed, unavailable
from tollgate.gateway.query import Ledger
from tollgate.gateway.readiness import Readiness
from tollgate.gateway.requests import BODY_BYTES_MAX, is_too_long, parse_correlation_id, too_large
from tollgate.gateway.responses import render_payment, render_summary
from tollgate.gateway.routes import Routes
from tollgate.gateway.windows import parse_window

logger = logging.getLogger(__name__)

QUERY_FIELDS_MAX = 16

Handler = Callable[[Request], Awaitable[Response]]


class Handlers:
    """The handlers, with the use cases as their only dependencies."""

    def __init__(self, payments: PaymentEndpoint, ledger: Ledger, readiness: Readiness, *, allow_purge: bool) -> None:
        self._payments = payments
        self._readiness = readiness
        self._ledger = ledger
        self._allow_purge = allow_purge

    async def post_payment(self, request: Request) -> Response:
        """For requests that the connection's protocol leaves to the framework (docs/decisions/0056)."""
        try:
            body = await _body(request)
        except Problem as problem:
            return _response(self._payments.refuse(problem))
        headers = request.headers
        content_type, content_encoding = headers.get_first(b"content-type"), headers.get_first(b"content-encoding")
        return _response(await self._payments.answer(content_type, content_encoding, body))

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
            problem = Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"only {allowed} is served here")
            return _response(answer_of(problem, (b"allow", allowed.encode())))
        raise Problem(HTTPStatus.NOT_FOUND, "there is nothing here; /docs lists what is")

    return not_found


def _guarded(handler: Handler) -> Handler:
    """Answers a Problem with its status, and any other exception with a 500 that reveals nothing internal."""

    @functools.wraps(handler)
    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except Problem as problem:
            return _response(answer_of(problem))
        except asyncio.CancelledError:
            # Without an answer the server would send a 500.
            return _response(answer_of(STOPPING))
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            return _response(answer_of(FAILED))

    return guarded


async def _body(request: Request) -> bytes:
    """The body, read no further than its limit. Raises Problem (413, 400)."""
    length = request.headers.get_first(b"content-length")
    if length is not None and length.isdigit() and is_too_long(length):
        raise too_large()
    body = bytearray()
    try:
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


def _json(body: bytes, *headers: tuple[bytes, bytes]) -> Response:
    return Response(200, list(headers), Content(b"application/json", body))


def _response(answer: Answer) -> Response:
    content = Content(answer.content_type, answer.body) if answer.content_type else None
    return Response(answer.status, list(answer.headers), content)
