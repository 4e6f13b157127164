"""How a payment stands: from the journal where it knows, else from the log, for the journal to know from then on."""

from typing import Protocol

from tollgate.contract.payment_state import PaymentState
from tollgate.processor.charging.history import History
from tollgate.processor.charging.state_cache import StateCache


class Source(Protocol):
    """Whoever finds all of a payment's events (`processor/charging/histories.py`)."""

    async def of(self, correlation_id: str, request_sequence: int | None = None) -> History: ...


class Standings:
    """Joins the journal to the log. What it tells holds everything that the journal had read when it was asked."""

    def __init__(self, state_cache: StateCache, histories: Source) -> None:
        self._journal = state_cache
        self._histories = histories

    async def of(self, correlation_id: str, sequence: int, *, is_request: bool = True) -> PaymentState:
        """The payment's standing; `sequence` is that of its request, or of another event of it.

        Raises UnknownPaymentError, BrokerUnavailableError and ReadModelUnavailableError.
        """
        known = self._journal.payment_state(correlation_id, sequence, is_request=is_request)
        if known is not None:
            return known
        as_of = self._journal.position
        history = await self._histories.of(correlation_id, sequence if is_request else None)
        self._journal.adopt(correlation_id, history, as_of=as_of)
        return history.payment_state
