"""The two payment processors over HTTP: sends an attempt, looks a record up, and says what the answer proves."""

import errno
import json
from collections.abc import Mapping
from decimal import Decimal

import aiohttp

from contract.events import ProcessorName
from contract.money import cents_from_decimal, format_cents
from contract.timestamps import format_us, parse_us
from processor.charging import (
    Answer,
    Attempt,
    Charged,
    Duplicate,
    Failed,
    Found,
    LookupAnswer,
    Missing,
    NoAnswer,
    NotReached,
    Refused,
    Unknown,
)

ANSWER_BYTES_MAX = 65_536
"""A longer answer is cut off, and treated as one that was never received in full."""
KEEPALIVE_SECONDS = 4.0
"""Idle connections are dropped before common servers drop theirs (5 s): a reused dead one would cost a doubt."""
CONNECT_TIMEOUT_SECONDS = 2.0
LOOKUP_TIMEOUT_SECONDS = 5.0

_OK, _MULTIPLE_CHOICES, _BAD_REQUEST, _NOT_FOUND = 200, 300, 400, 404
_UNPROCESSABLE, _TOO_MANY_REQUESTS, _SERVER_ERROR, _GATEWAY_TIMEOUT = 422, 429, 500, 504


class ProcessorClient:
    """Both payment processors; `urls` are their base addresses."""

    def __init__(self, urls: Mapping[ProcessorName, str], *, timeout_seconds: float, connections_max: int) -> None:
        self._urls = {name: url.rstrip("/") for name, url in urls.items()}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json"},
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(self, attempt: Attempt) -> Answer:
        """Sends the attempt, the same bytes each time, and classifies what came back. Never raises for the network."""
        try:
            async with self._session.post(
                f"{self._urls[attempt.processor]}/payments",
                data=attempt_body(attempt),
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                await read_whole(response)
                return classify(response.status)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return NotReached(f"no connection: {error_name(error)}")
        except TimeoutError:
            return Unknown("no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unknown(f"cut off: {error_name(error)}")

    async def look_up(self, processor: ProcessorName, correlation_id: str) -> LookupAnswer:
        """Asks the processor for its record of the payment. Never raises for the network."""
        try:
            async with self._session.get(
                f"{self._urls[processor]}/payments/{correlation_id}",
                timeout=aiohttp.ClientTimeout(total=LOOKUP_TIMEOUT_SECONDS),
                allow_redirects=False,
            ) as response:
                body = await read_whole(response)
                if response.status == _NOT_FOUND:
                    return Missing()
                return parse_record(body) if response.status == _OK else NoAnswer(f"lookup answered {response.status}")
        except TimeoutError:
            return NoAnswer("lookup not answered in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return NoAnswer(f"lookup failed: {error_name(error)}")


def attempt_body(attempt: Attempt) -> bytes:
    """The attempt's request body: a function of the recorded intent alone, so that each sending is the same."""
    return (
        f'{{"correlationId":"{attempt.correlation_id}",'
        f'"amount":{format_cents(attempt.amount_cents)},'
        f'"requestedAt":"{format_us(attempt.requested_at_us)}"}}'
    ).encode()


def classify(status: int) -> Answer:
    """What a complete answer with this HTTP status proves."""
    if status == _OK:
        return Charged()
    if status == _UNPROCESSABLE:
        return Duplicate()
    if status == _TOO_MANY_REQUESTS:
        return NotReached("429 too many requests", is_busy=True)
    if _BAD_REQUEST <= status < _SERVER_ERROR:
        return Refused(f"the processor refused it with status {status}")
    # A 504 is a proxy's: the handler behind it may still be running.
    if status >= _SERVER_ERROR and status != _GATEWAY_TIMEOUT:
        return Failed(f"status {status}")
    return Unknown(f"unexpected status {status}")


def parse_record(body: bytes) -> LookupAnswer:
    """The processor's record of a payment as its lookup answers it."""
    try:
        record = json.loads(body, parse_float=Decimal, parse_int=Decimal)
        return Found(cents_from_decimal(record["amount"]), parse_us(record["requestedAt"]))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        return NoAnswer(f"lookup answered a record that cannot be read: {error!r}")


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
