"""The providers' records, read through the few endpoints that all of them have."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp

from tollgate.contract.events import PROVIDERS, ProviderName
from tollgate.contract.read_model_api import Total
from tollgate.contract.timestamps import InvalidTimestampError, format_us, parse_us
from tollgate.runtime.errors import TollgateError

ANSWER_SECONDS_MAX = 15.0
TRIES = 3
PAUSE_SECONDS = 0.5
_OK, _NOT_FOUND = 200, 404


class ProviderRecordsUnreadableError(TollgateError):
    """A provider's records cannot be read; the text states which provider's, and why."""


@dataclass(frozen=True, slots=True)
class Record:
    """A charge in a provider's records."""

    amount_cents: int
    requested_at_us: int


class ProviderRecords:
    """Both providers' records. At most `concurrency` requests at once, and `rate` a second, over both together.

    `headers` are sent with each request to their provider, `token` to both.
    """

    def __init__(
        self,
        urls: Mapping[ProviderName, str],
        headers: Mapping[ProviderName, Mapping[str, str]],
        *,
        token: str,
        concurrency: int,
        rate: float,
    ) -> None:
        self._urls = {name: urls[name].rstrip("/") for name in PROVIDERS}
        self._headers = headers
        self._places = asyncio.Semaphore(concurrency)
        self._interval_seconds = 1 / rate
        self._next_at = 0.0
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
            headers={"X-Rinha-Token": token},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self.questions = 0

    async def close(self) -> None:
        await self._session.close()

    async def total(self, provider: ProviderName, from_us: int, to_us: int) -> Total:
        """The charges stamped in the window, both bounds inclusive. Raises ProviderRecordsUnreadableError."""
        path = f"/admin/payments-summary?from={format_us(from_us)}&to={format_us(to_us)}"
        answer = await self._ask(provider, path)
        try:
            return Total(int(answer["totalRequests"]), _cents(answer["totalAmount"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ProviderRecordsUnreadableError(f"{provider} answered {path} with no totals: {error}") from None

    async def record(self, provider: ProviderName, correlation_id: str) -> Record | None:
        """The charge of a payment; None when the provider has none. Raises ProviderRecordsUnreadableError."""
        path = f"/payments/{correlation_id}"
        answer = await self._ask(provider, path)
        if answer is None:
            return None
        try:
            return Record(_cents(answer["amount"]), parse_us(answer["requestedAt"]))
        except (KeyError, TypeError, ValueError, InvalidTimestampError) as error:
            raise ProviderRecordsUnreadableError(f"{provider} answered {path} with no payment: {error}") from None

    async def _ask(self, provider: ProviderName, path: str) -> Any:
        """The JSON of the answer; None for 404. Retried without an answer, which is safe: these requests only read."""
        why = ""
        for again in range(TRIES):
            await asyncio.sleep(PAUSE_SECONDS * again)
            async with self._places:
                await self._wait_for_turn()
                try:
                    async with self._session.get(
                        self._urls[provider] + path, headers=self._headers[provider], allow_redirects=False
                    ) as response:
                        body = await response.text()
                        if response.status == _OK:
                            return json.loads(body, parse_float=Decimal)
                        if response.status == _NOT_FOUND and path.startswith("/payments/"):
                            return None
                        why = f"it answered {response.status}"
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                    why = str(error) or type(error).__name__
        raise ProviderRecordsUnreadableError(
            f"{provider} at {self._urls[provider]} gives no answer to {path.partition('?')[0]}: {why}"
        )

    async def _wait_for_turn(self) -> None:
        self.questions += 1
        now = asyncio.get_running_loop().time()
        self._next_at = max(self._next_at, now) + self._interval_seconds
        await asyncio.sleep(max(self._next_at - self._interval_seconds - now, 0))


def _cents(amount: int | Decimal) -> int:
    cents = Decimal(amount) * 100
    if cents != cents.to_integral_value():
        raise ValueError(f"{amount} has fractions of a cent")
    return int(cents)
