"""`POST /payments`, whichever way its request was read."""

import asyncio
import logging
import time
from http import HTTPStatus

from tollgate.gateway.accept import Acceptance
from tollgate.gateway.answer import Answer, answer_of
from tollgate.gateway.metrics import GatewayMetrics
from tollgate.gateway.problems import FAILED, STOPPING, Problem
from tollgate.gateway.requests import parse_order
from tollgate.runtime.log_fields import about

logger = logging.getLogger(__name__)


class PaymentEndpoint:
    """Accepts payments, and counts what is accepted and what is refused."""

    def __init__(self, acceptance: Acceptance, metrics: GatewayMetrics) -> None:
        self._acceptance = acceptance
        self._metrics = metrics

    async def answer(self, content_type: bytes | None, content_encoding: bytes | None, body: bytes) -> Answer:
        """The answer to a request with these headers, as received, and this body. Raises nothing."""
        began = time.perf_counter()
        try:
            order = parse_order(_text(content_type), _text(content_encoding), body)
            await self._acceptance.accept(order)
        except Problem as problem:
            return self.refuse(problem)
        except asyncio.CancelledError:
            return self.refuse(STOPPING)
        except Exception:
            logger.exception("POST /payments failed")
            return self.refuse(FAILED)
        self._metrics.accepted.inc()
        self._metrics.accept_seconds.observe(time.perf_counter() - began)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "payment %s is accepted",
                order.correlation_id,
                extra=about(event="payment_accepted", correlation_id=order.correlation_id),
            )
        return Answer(202, ((b"location", b"/payments/" + order.correlation_id.encode()),))

    def refuse(self, problem: Problem) -> Answer:
        """Counts the payment as not accepted, and returns its answer."""
        self._metrics.refuse(problem.status)
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            why = problem.detail
            logger.warning("a payment is refused: %s", why, extra=about(event="payment_refused", reason=why))
        return answer_of(problem)


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")
