"""Payment states: from the cache where it has them, else looked up, and then cached."""

from typing import Protocol

from tollgate.contract.payment_state import Ended, PaymentState
from tollgate.processor.charging.history import History
from tollgate.processor.charging.state_cache import StateCache
from tollgate.runtime.errors import BrokerUnavailableError

PURGES_MAX = 3
"""Purges during one look-up; after that the payment goes back to the queue."""


class Source(Protocol):
    """Finds all of a payment's events, or that it has ended (`lookups.py`)."""

    async def of(self, correlation_id: str, request_sequence: int | None, *, up_to: int) -> History | Ended:
        """Complete up to the sequence `up_to` at least. Raises as `PaymentStates.of` does."""


class PaymentStates:
    """Joins the state cache to a source. A state includes every event that the cache had applied when it was asked."""

    def __init__(self, state_cache: StateCache, source: Source) -> None:
        self._cache = state_cache
        self._source = source

    async def of(self, correlation_id: str, sequence: int, *, is_request: bool = True) -> PaymentState:
        """The payment's state; `sequence` is that of its request, or of another event of it.

        Raises UnknownPaymentError, BrokerUnavailableError and ReadModelUnavailableError.
        """
        for _ in range(PURGES_MAX):
            known = self._cache.payment_state(correlation_id, sequence, is_request=is_request)
            if known is not None:
                return known
            with self._cache.asking(correlation_id) as asked:
                request_sequence = sequence if is_request else None
                found = await self._source.of(correlation_id, request_sequence, up_to=max(asked.since, sequence))
                if (adopted := self._cache.adopt(correlation_id, asked, found)) is not None:
                    return adopted
        raise BrokerUnavailableError(f"the log was purged {PURGES_MAX} times while {correlation_id} was looked up")
