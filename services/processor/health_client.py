"""Asks a payment processor for its health, over HTTP.

On connections of its own: those of the charges may all be busy, above all when the health is worth knowing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
import orjson
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from contract.events import ProcessorName
from processor.client import error_name, read_whole
from processor.health_record import health_from
from processor.health_report import Health

_OK, _TOO_MANY_REQUESTS = 200, 429


@dataclass(frozen=True, slots=True)
class NoNews:
    """The call told nothing."""

    why: str


class HealthClient:
    """The health endpoints; `urls` are the processors' base addresses."""

    def __init__(self, urls: Mapping[ProcessorName, str]) -> None:
        self._urls = {name: f"{url.rstrip('/')}/payments/service-health" for name, url in urls.items()}

    async def ask(
        self, processor: ProcessorName, *, may_leave: Callable[[], bool], timeout_seconds: float
    ) -> Health | NoNews:
        """One call, sent once, and only if `may_leave` says yes when the connection is there.

        Never raises for the network.
        """
        try:
            async with (
                aiohttp.ClientSession(
                    connector=_OneCallConnector(may_leave), cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.get(
                    self._urls[processor],
                    timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                    allow_redirects=False,
                ) as response,
            ):
                return classify_health(response.status, await read_whole(response))
        except TimeoutError:
            return NoNews("no answer in time")
        except _NotSentError as error:
            return NoNews(str(error))
        except (aiohttp.ClientError, OSError) as error:
            return NoNews(error_name(error))
        except ValueError as error:
            return NoNews(str(error))


def classify_health(status: int, body: bytes) -> Health | NoNews:
    """What a complete answer tells."""
    if status == _TOO_MANY_REQUESTS:
        return NoNews("somebody else has asked within the interval (429)")
    if status != _OK:
        return NoNews(f"status {status}")
    try:
        return health_from(orjson.loads(body))
    except ValueError as error:
        return NoNews(f"an answer that cannot be read: {error}")


class _NotSentError(Exception):
    """The call must not be made, or not once more; the text says why."""


class _OneCallConnector(aiohttp.TCPConnector):
    """Hands out one connection, and that only while `may_leave` says yes: resolving and connecting can take long.

    One, because aiohttp sends a GET again by itself when its connection breaks. To the processor that is a second call.
    """

    def __init__(self, may_leave: Callable[[], bool]) -> None:
        super().__init__(limit=1, force_close=True)
        self._may_leave = may_leave
        self._is_spent = False

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        if self._is_spent:
            raise _NotSentError("cut off")
        connection = await super().connect(req, traces, timeout)
        if not self._may_leave():
            connection.close()
            raise _NotSentError("not asked: this process was held up, and it may be another's turn by now")
        self._is_spent = True
        return connection
