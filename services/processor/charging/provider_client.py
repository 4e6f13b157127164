"""The HTTP client of both providers: sends attempts, looks payments up, and maps the answers by contract."""

import errno
import time
from collections.abc import Callable, Mapping
from typing import Self

import aiohttp
from aiohttp.connector import Connection

from tollgate.contract.events import ProviderName
from tollgate.contract.money import format_cents
from tollgate.contract.timestamps import MICROSECONDS, format_us
from tollgate.processor.charging.arrival import seconds_since_arrival
from tollgate.processor.charging.outcomes import (
    Answer,
    Attempt,
    Charged,
    LookupAnswer,
    NoAnswer,
    NotReached,
    OutsideContract,
    Unknown,
)
from tollgate.processor.charging.ports import ProviderNotes
from tollgate.processor.charging.provider import Provider
from tollgate.processor.charging.provider_contract import Reply
from tollgate.processor.charging.provider_log import of_attempt
from tollgate.runtime.log_fields import about

ANSWER_BYTES_MAX = 65_536
"""A longer answer is cut off, and treated as not received in full."""
KEEPALIVE_SECONDS = 4.0
"""Idle connections are dropped before common servers drop theirs (5 s): a reused dead one would cost a doubt."""
CONNECT_TIMEOUT_SECONDS = 2.0
LOOKUP_TIMEOUT_SECONDS = 5.0


class _Response(aiohttp.ClientResponse):
    """Notes when it arrived, by the monotonic clock."""

    arrived_at = 0.0

    async def start(self, connection: Connection) -> Self:
        # Taken first: a short answer gives its connection back before this returns.
        transport = connection.transport
        await super().start(connection)
        self.arrived_at = time.monotonic() - seconds_since_arrival(transport)
        return self


class ProviderClient:
    """Both providers. For use inside an event loop."""

    def __init__(
        self,
        providers: Mapping[ProviderName, Provider],
        *,
        provider_log: ProviderNotes,
        timeout_seconds: float,
        connections_max: int,
        on_status: Callable[[int], None] | None = None,
    ) -> None:
        self._providers = providers
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json"},
            response_class=_Response,
        )
        self._provider_log = provider_log
        self._on_status = on_status

    async def close(self) -> None:
        await self._session.close()

    async def send(self, attempt: Attempt) -> Answer:
        """Sends the attempt, the same bytes each time. Never raises for the network."""
        provider, began = self._providers[attempt.provider], time.monotonic()
        try:
            async with self._session.post(
                f"{provider.url}/payments",
                data=attempt_body(attempt),
                headers=provider.headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                answer = provider.contract.payment_answer(await self._reply_of(response))
                if isinstance(answer, Charged) and isinstance(response, _Response):
                    # Not before it was asked for: earlier bytes of the connection would be of another answer.
                    seconds_ago = time.monotonic() - max(response.arrived_at, began)
                    answer = Charged(round(seconds_ago * MICROSECONDS))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return NotReached(f"no connection: {error_name(error)}")
        except TimeoutError:
            return Unknown("no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unknown(f"cut off: {error_name(error)}")
        if isinstance(answer, OutsideContract):
            what = f"{answer.why}; in doubt ({attempt.correlation_id})"
            self._provider_log.note(attempt.provider, "answer_outside_contract", what, of_attempt(attempt, answer.why))
        return answer

    async def look_up(self, provider: ProviderName, correlation_id: str) -> LookupAnswer:
        """Looks the payment up at the provider. Never raises for the network."""
        asked = self._providers[provider]
        try:
            async with self._session.get(
                f"{asked.url}/payments/{correlation_id}",
                headers=asked.headers,
                timeout=aiohttp.ClientTimeout(total=LOOKUP_TIMEOUT_SECONDS),
                allow_redirects=False,
            ) as response:
                answer = asked.contract.lookup_answer(await self._reply_of(response), correlation_id)
        except TimeoutError:
            return NoAnswer("lookup not answered in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return NoAnswer(f"lookup failed: {error_name(error)}")
        if isinstance(answer, OutsideContract):
            fields = about(correlation_id=correlation_id, reason=answer.why)
            self._provider_log.note(provider, "lookup_outside_contract", answer.why, fields)
        return answer

    async def _reply_of(self, response: aiohttp.ClientResponse) -> Reply:
        if self._on_status is not None:
            self._on_status(response.status)
        return await reply_of(response)


def attempt_body(attempt: Attempt) -> bytes:
    """The attempt's request body: a function of the recorded intent alone, so that every sending has the same bytes."""
    return (
        f'{{"correlationId":"{attempt.correlation_id}",'
        f'"amount":{format_cents(attempt.amount_cents)},'
        f'"requestedAt":"{format_us(attempt.requested_at_us)}"}}'
    ).encode()


async def reply_of(response: aiohttp.ClientResponse) -> Reply:
    """The whole answer. Raises ValueError for one of more than ANSWER_BYTES_MAX bytes."""
    return Reply(response.status, await read_whole(response), response.headers)


async def read_whole(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def error_name(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0, type(error).__name__)
