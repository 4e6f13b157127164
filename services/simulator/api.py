"""The public API: charge a payment, look one up, get the health."""

import asyncio
import time
from http import HTTPStatus

from aiohttp import web

from tollgate.simulator import answers
from tollgate.simulator.book import BookFullError, DuplicateError, Payment
from tollgate.simulator.faults import DrawnFault, Ending
from tollgate.simulator.intermediary import Interception
from tollgate.simulator.order import MalformedError, Order, correlation_id_of, key_from, order_from
from tollgate.simulator.state import State

_PROCESSED = b'{"message":"payment processed successfully"}'
_GARBAGE = b"\x00\xffthis is no HTTP\r\n\r\n"


class Api:
    """The public endpoints of one provider.

    Its answers have the form of the benchmark's source: JSON `{"message": …}` for 200, 422 and a genuine 500 (which may
    come after the insert); no body for an injected 500 (which comes before it), for 400, 415, and for a lookup's 404;
    plain text for 429.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._behind: set[asyncio.Task[None]] = set()
        """Payments being handled whose clients already got an intermediary's answer."""

    async def pay(self, request: web.BaseRequest) -> web.StreamResponse:
        """`POST /payments`: intermediaries, admission, delay, injected failure, charge, answer; in this order.

        A client that disconnects does not end the handling: the charge is made all the same.
        """
        received_at_us = time.time_ns() // 1000
        state = self._state
        drawn_fault = state.dice.draw()
        if drawn_fault.intercepted is not None:
            return await self._intercept(request, drawn_fault, drawn_fault.intercepted, received_at_us)
        answer = await self._admit(request, drawn_fault, received_at_us)
        if drawn_fault.closes:
            state.stats.closed_connections += 1
            await answers.send_and_close(request, answer)
        return answer

    async def look_up(self, correlation_id: str) -> web.StreamResponse:
        """`GET /payments/{id}`: the payment, or 404 without a body; 400 when the id is not a UUID.

        The admission limit applies to lookups, too, as in the benchmark's source.
        """
        state = self._state
        state.stats.lookups += 1
        drawn_fault = state.dice.draw_lookup()
        if drawn_fault.intercepted is not None:
            state.stats.add(drawn_fault.intercepted.counted_as)
            return answers.in_place(drawn_fault.intercepted)
        if drawn_fault.refused or not await state.admission.enter():
            state.stats.lookups_refused += 1
            return self._too_many()
        state.admission.leave()
        try:
            key = key_from(correlation_id)
        except ValueError:
            return answers.empty(HTTPStatus.BAD_REQUEST)
        payment = state.book.find(key)
        if payment is None:
            return answers.empty(HTTPStatus.NOT_FOUND)
        if not state.replica.shows(key, time.monotonic(), drawn_fault.lag_seconds):
            state.stats.lookups_lagging += 1
            return answers.empty(HTTPStatus.NOT_FOUND)
        return answers.json(answers.payment_fields(payment))

    async def tell_health(self) -> web.StreamResponse:
        """`GET /payments/service-health`: failing or not, and the delay in ms; 429 when called too soon."""
        state = self._state
        if not state.health.take(time.monotonic()):
            state.stats.health_refused += 1
            return self._too_many()
        state.stats.health_calls += 1
        status = HTTPStatus.OK
        if state.failing and state.dice.draw_health_503():
            state.stats.health_503 += 1
            status = HTTPStatus.SERVICE_UNAVAILABLE
        return answers.json({"failing": state.failing, "minResponseTime": state.delay_ms}, status)

    async def _intercept(
        self, request: web.BaseRequest, drawn_fault: DrawnFault, interception: Interception, received_at_us: int
    ) -> web.StreamResponse:
        self._state.stats.add(interception.counted_as)
        if interception.forwards and await _is_whole(request):
            task = asyncio.get_running_loop().create_task(self._handle_behind(request, drawn_fault, received_at_us))
            self._behind.add(task)
            task.add_done_callback(self._behind.discard)
        return answers.in_place(interception)

    async def _handle_behind(self, request: web.BaseRequest, drawn_fault: DrawnFault, received_at_us: int) -> None:
        answer = await self._admit(request, drawn_fault, received_at_us)
        self._state.stats.charges_behind_proxy += answer.status == HTTPStatus.OK

    async def _admit(
        self, request: web.BaseRequest, drawn_fault: DrawnFault, received_at_us: int
    ) -> web.StreamResponse:
        state = self._state
        if drawn_fault.refused:
            state.stats.refused_by_fault += 1
            return self._too_many()
        if not await state.admission.enter():
            state.stats.refused_by_limit += 1
            return self._too_many()
        try:
            return await self._handle(request, drawn_fault, received_at_us)
        finally:
            state.admission.leave()

    async def _handle(
        self, request: web.BaseRequest, drawn_fault: DrawnFault, received_at_us: int
    ) -> web.StreamResponse:
        state = self._state
        if not request.headers.get("Content-Type", "").startswith("application/json"):
            state.stats.malformed += 1
            return answers.empty(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        try:
            order = order_from(await request.read())
        except (MalformedError, web.RequestPayloadError):
            state.stats.malformed += 1
            return answers.empty(HTTPStatus.BAD_REQUEST)
        if drawn_fault.refuses and state.refusals.add(order.key):
            state.stats.own_refusals += 1
            return answers.empty(HTTPStatus.BAD_REQUEST)
        if pause_ms := state.delay_ms + drawn_fault.jitter_ms:
            await asyncio.sleep(pause_ms / 1000)
        if state.failing or drawn_fault.fails:
            state.stats.injected_failures += 1
            return answers.empty(HTTPStatus.INTERNAL_SERVER_ERROR)
        return self._charge(request, order, drawn_fault.ending, received_at_us)

    def _charge(
        self, request: web.BaseRequest, order: Order, ending: Ending, received_at_us: int
    ) -> web.StreamResponse:
        state = self._state
        try:
            state.book.charge(Payment(*order, received_at_us))
        except DuplicateError:
            state.stats.duplicates += 1
            text = f"Payment could not be processed. CorrelationId already exists: {correlation_id_of(order.key)}."
            return answers.message(text, HTTPStatus.UNPROCESSABLE_ENTITY)
        except BookFullError:
            state.stats.book_full += 1
            return answers.message("the limit of payments is reached", HTTPStatus.INTERNAL_SERVER_ERROR)
        state.stats.charges += 1
        state.replica.note(order.key, time.monotonic())
        return self._answer_charge(request, ending)

    def _answer_charge(self, request: web.BaseRequest, ending: Ending) -> web.StreamResponse:
        stats = self._state.stats
        if ending is Ending.LOST:
            stats.lost_answers += 1
            answers.hang_up(request)
        elif ending is Ending.GARBAGE:
            stats.garbage_answers += 1
            answers.hang_up(request, last_bytes=_GARBAGE)
        elif ending is Ending.ERROR:
            stats.errors_after_charge += 1
            return answers.message("the connection was lost after the insert", HTTPStatus.INTERNAL_SERVER_ERROR)
        return answers.json_bytes(_PROCESSED)

    def _too_many(self) -> web.Response:
        return answers.too_many(self._state.options.health_interval_seconds)


async def _is_whole(request: web.BaseRequest) -> bool:
    """Reads the body, which is kept for the handler; False when the client disconnected before its end."""
    try:
        await request.read()
    except web.RequestPayloadError:
        return False
    return True
