"""The admin API: totals, switches, faults and all records, for clients that send the token."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from tollgate.simulator import answers
from tollgate.simulator.book import Book
from tollgate.simulator.faults import BadFaultsError
from tollgate.simulator.moment import microseconds_from, moment_text
from tollgate.simulator.money import fee_of
from tollgate.simulator.state import State

MAX_DELAY_MS = 120_000
MAX_PAUSE_SECONDS = 120
_PAGE_PAYMENTS = 1000

AdminHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Pause = Callable[[float, web.RequestHandler], Awaitable[None]]
"""(seconds, connection): stops listening for that time and closes every other connection."""


class BadRequestError(ValueError):
    """The request is malformed or out of range."""


class Admin:
    """The endpoints under /admin."""

    def __init__(self, state: State, pause: Pause) -> None:
        self._state = state
        self._pause = pause
        self._routes: dict[tuple[str, str], AdminHandler] = {
            ("GET", "/admin/payments-summary"): self._summarise,
            ("POST", "/admin/purge-payments"): self._purge,
            ("PUT", "/admin/configurations/token"): self._set_token,
            ("PUT", "/admin/configurations/delay"): self._set_delay,
            ("PUT", "/admin/configurations/failure"): self._set_failure,
            ("GET", "/admin/faults"): self._show_faults,
            ("PUT", "/admin/faults"): self._set_faults,
            ("PUT", "/admin/listening"): self._stop_listening,
            ("GET", "/admin/payments"): self._list_payments,
            ("GET", "/admin/refusals"): self._list_refusals,
            ("GET", "/admin/stats"): self._show_stats,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers 401 without the token, 404 for an unknown endpoint, 400 with the reason for a bad request."""
        if request.headers.get("X-Rinha-Token") != self._state.token:
            return answers.empty(HTTPStatus.UNAUTHORIZED)
        handler = self._routes.get((request.method, request.path))
        if handler is None:
            return answers.empty(HTTPStatus.NOT_FOUND)
        try:
            return await handler(request)
        except (BadRequestError, BadFaultsError) as reason:
            return answers.message(str(reason), HTTPStatus.BAD_REQUEST)

    async def _summarise(self, request: web.BaseRequest) -> web.StreamResponse:
        totals = self._state.book.totals(_bound(request, "from"), _bound(request, "to"))
        fee = self._state.options.fee
        return answers.json(
            {
                "totalRequests": totals.payments,
                "totalAmount": answers.number(totals.amount_cents),
                "totalFee": answers.number(fee_of(totals.amount_cents, fee)),
                "feePerTransaction": orjson.Fragment(format(fee, "f")),
            }
        )

    async def _purge(self, _: web.BaseRequest) -> web.StreamResponse:
        self._state.purge()
        return answers.message("All payments purged.", HTTPStatus.OK)

    async def _set_token(self, request: web.BaseRequest) -> web.StreamResponse:
        token = await _field(request, "token")
        if not isinstance(token, str) or not token:
            raise BadRequestError("token must be text that is not empty")
        self._state.token = token
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _set_delay(self, request: web.BaseRequest) -> web.StreamResponse:
        delay_ms = await _field(request, "delay")
        if isinstance(delay_ms, bool) or not isinstance(delay_ms, int) or not 0 <= delay_ms <= MAX_DELAY_MS:
            raise BadRequestError(f"delay must be whole milliseconds from 0 to {MAX_DELAY_MS}")
        was, self._state.delay_ms = self._state.delay_ms, delay_ms
        return answers.json({"config": "delay", "was": was, "is": delay_ms})

    async def _set_failure(self, request: web.BaseRequest) -> web.StreamResponse:
        failing = await _field(request, "failure")
        if not isinstance(failing, bool):
            raise BadRequestError("failure must be true or false")
        was, self._state.failing = self._state.failing, failing
        return answers.json({"config": "failure", "was": was, "is": failing})

    async def _show_faults(self, _: web.BaseRequest) -> web.StreamResponse:
        return answers.json(self._state.dice.as_dict())

    async def _set_faults(self, request: web.BaseRequest) -> web.StreamResponse:
        self._state.dice.change(await _json(request))
        return answers.json(self._state.dice.as_dict())

    async def _stop_listening(self, request: web.BaseRequest) -> web.StreamResponse:
        seconds = await _field(request, "seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_PAUSE_SECONDS:
            raise BadRequestError(f"seconds must be a number above 0 and at most {MAX_PAUSE_SECONDS}")
        await self._pause(seconds, request.protocol)
        answer = answers.json({"listening": False, "seconds": seconds})
        answer.force_close()
        return answer

    async def _list_payments(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        book = self._state.book
        for start in range(0, len(book), _PAGE_PAYMENTS):
            await response.write(_ndjson(book, start))
            # A long list must not delay the payments that arrive meanwhile.
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def _list_refusals(self, _: web.BaseRequest) -> web.StreamResponse:
        return answers.json(list(self._state.refusals))

    async def _show_stats(self, _: web.BaseRequest) -> web.StreamResponse:
        state = self._state
        now = {"stored": len(state.book), "running": state.admission.running, "waiting": state.admission.waiting}
        return answers.json({**asdict(state.stats), **now})


def _ndjson(book: Book, start: int) -> bytes:
    return b"".join(
        orjson.dumps(
            {**answers.payment_fields(payment), "receivedAt": moment_text(payment.received_at_us)},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for payment in book.page(start, _PAGE_PAYMENTS)
    )


def _bound(request: web.BaseRequest, name: str) -> int | None:
    text = request.query.get(name)
    try:
        return None if text is None else microseconds_from(text)
    except ValueError as reason:
        raise BadRequestError(f"{name}: {reason}") from reason


async def _json(request: web.BaseRequest) -> Any:
    try:
        return orjson.loads(await request.read())
    except (orjson.JSONDecodeError, web.RequestPayloadError) as reason:
        raise BadRequestError(f"the body must be JSON: {reason}") from reason


async def _field(request: web.BaseRequest, name: str) -> Any:
    content = await _json(request)
    if not isinstance(content, dict) or name not in content:
        raise BadRequestError(f"{name} is missing")
    return content[name]
