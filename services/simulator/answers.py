"""Bodies and responses shared by the handlers, and the ways to close a connection after a response."""

from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from tollgate.simulator.book import Payment
from tollgate.simulator.intermediary import Form, Interception
from tollgate.simulator.moment import moment_text
from tollgate.simulator.money import decimal_text
from tollgate.simulator.order import correlation_id_of

_JSON_HEADERS = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))

_REASONS = {520: "Unknown Error", 522: "Connection timed out", 524: "A timeout occurred"}
"""Reasons of statuses that are not in the standard."""


def json_bytes(body: bytes, status: int = HTTPStatus.OK) -> web.Response:
    """A response whose body is JSON already."""
    return web.Response(body=body, status=status, headers=_JSON_HEADERS)


def json(content: Any, status: int = HTTPStatus.OK) -> web.Response:
    """A response with `content` as JSON."""
    return json_bytes(orjson.dumps(content), status)


def message(text: str, status: int) -> web.Response:
    """A response with a message."""
    return json({"message": text}, status)


def empty(status: int) -> web.Response:
    """A response without a body: the benchmark's for refused and unknown payments and for injected failures."""
    return web.Response(status=status)


def in_place(interception: Interception) -> web.Response:
    """The response of an intermediary in place of the provider's."""
    reason = _REASONS.get(interception.status) or HTTPStatus(interception.status).phrase
    headers = {"Location": "https://login.invalid/"} if interception.status == HTTPStatus.FOUND else {}
    if interception.form is Form.EMPTY:
        return web.Response(status=interception.status, reason=reason, headers=headers)
    if interception.form is Form.JSON:
        text, content_type = orjson.dumps({"message": reason}).decode(), "application/json"
    else:
        title = f"{interception.status} {reason}"
        text = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        content_type = "text/html"
    return web.Response(
        text=text, status=interception.status, reason=reason, content_type=content_type, headers=headers
    )


def too_many(retry_seconds: float) -> web.Response:
    """The benchmark's 429: plain text, with Retry-After."""
    return web.Response(
        text="Calm down. Try again later.",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        headers={"Retry-After": f"{retry_seconds:.0f}"},
    )


def number(cents: int) -> orjson.Fragment:
    """`cents` as a JSON number with exactly two places."""
    return orjson.Fragment(decimal_text(cents))


def payment_fields(payment: Payment) -> dict[str, Any]:
    """The fields of a payment as returned to clients."""
    return {
        "correlationId": correlation_id_of(payment.key),
        "amount": number(payment.amount_cents),
        "requestedAt": moment_text(payment.requested_at_us),
    }


async def send_and_close(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Sends the whole `response` without `Connection: close`, and then closes the connection."""
    await response.prepare(request)
    await response.write_eof()
    if request.transport is not None:
        request.transport.close()


def hang_up(request: web.BaseRequest, last_bytes: bytes = b"") -> None:
    """Closes the connection after `last_bytes`; the response that the handler then returns is dropped."""
    transport = request.transport
    if transport is None:
        return
    if last_bytes:
        transport.write(last_bytes)
        transport.close()
    else:
        transport.abort()
