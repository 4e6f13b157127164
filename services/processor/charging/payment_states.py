"""Payment states: from the cache where it has them, else from the log, and then cached."""

from typing import Protocol

from tollgate.contract.payment_state import PaymentState
from tollgate.processor.charging.history import History
from tollgate.processor.charging.state_cache import StateCache


class Source(Protocol):
    """Finds all of a payment's events (`histories.py`)."""

    async def of(self, correlation_id: str, request_sequence: int | None = None) -> History: ...


class PaymentStates:
    """Joins the state cache to the log. A state includes every event that the cache had applied when it was asked."""

    def __init__(self, state_cache: StateCache, histories: Source) -> None:
        self._cache = state_cache
        self._histories = histories

    async def of(self, correlation_id: str, sequence: int, *, is_request: bool = True) -> PaymentState:
        """The payment's state; `sequence` is that of its request, or of another event of it.

        Raises UnknownPaymentError, BrokerUnavailableError and ReadModelUnavailableError.
        """
        known = self._cache.payment_state(correlation_id, sequence, is_request=is_request)
        if known is not None:
            return known
        as_of = self._cache.position
        history = await self._histories.of(correlation_id, sequence if is_request else None)
        self._cache.adopt(correlation_id, history, as_of=as_of)
        return history.payment_state
