"""Health checks of the providers over HTTP.

On connections of their own: those of the charges may all be busy, above all when a provider is slow.
"""

from collections.abc import Callable, Mapping

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from tollgate.contract.events import ProviderName
from tollgate.processor.charging.provider import Provider
from tollgate.processor.charging.provider_client import error_name, reply_of
from tollgate.processor.health.report import Health, NoHealth
from tollgate.runtime.errors import TollgateError


class HealthClient:
    """The health endpoints."""

    def __init__(self, providers: Mapping[ProviderName, Provider]) -> None:
        self._providers = providers

    async def ask(
        self, provider: ProviderName, *, may_leave: Callable[[], bool], timeout_seconds: float
    ) -> Health | NoHealth:
        """One call, sent once, and only if `may_leave` is true when the connection is open.

        Never raises for the network.
        """
        asked = self._providers[provider]
        try:
            async with (
                aiohttp.ClientSession(
                    connector=_OneCallConnector(may_leave), cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.get(
                    f"{asked.url}/payments/service-health",
                    headers=asked.headers,
                    timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                    allow_redirects=False,
                ) as response,
            ):
                return asked.contract.health_answer(await reply_of(response))
        except TimeoutError:
            return NoHealth("no answer in time")
        except _NotSentError as error:
            return NoHealth(str(error))
        except (aiohttp.ClientError, OSError) as error:
            return NoHealth(error_name(error))
        except ValueError as error:
            return NoHealth(str(error))


class _NotSentError(TollgateError):
    """The call must not be sent, or not a second time; the text gives the reason."""


class _OneCallConnector(aiohttp.TCPConnector):
    """Gives one connection, and only while `may_leave` is true: resolving and connecting can take long.

    One, because aiohttp sends a GET again by itself when its connection breaks. For the provider that is a second call.
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
            raise _NotSentError("not asked: this process was held up, and another replica may hold the lease by now")
        self._is_spent = True
        return connection
