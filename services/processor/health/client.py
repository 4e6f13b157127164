"""Health checks of the providers over HTTP.

On connections of their own: those of the charges may all be busy, above all when a provider is slow.
"""

from collections.abc import Callable, Mapping

from tollgate.contract.events import ProviderName
from tollgate.processor.charging.http_client import CutOffError, HttpClient, NotSentError, Origin
from tollgate.processor.charging.provider import Provider
from tollgate.processor.health.report import Health, NoHealth


class HealthClient:
    """The health endpoints."""

    def __init__(self, providers: Mapping[ProviderName, Provider]) -> None:
        self._contracts = {name: provider.contract for name, provider in providers.items()}
        self._origins = {name: Origin.of(provider.url, provider.headers) for name, provider in providers.items()}
        self._client = HttpClient(connections_max=len(providers))

    async def ask(
        self, provider: ProviderName, *, may_leave: Callable[[], bool], timeout_seconds: float
    ) -> Health | NoHealth:
        """One call, sent once, and only if `may_leave` is true when the connection is open.

        Never raises for the network.
        """
        origin = self._origins[provider]
        request = origin.get("/payments/service-health")
        try:
            received = await self._client.ask(origin, request, timeout_seconds=timeout_seconds, may_leave=may_leave)
        except TimeoutError:
            return NoHealth("no answer in time")
        except (NotSentError, CutOffError) as error:
            return NoHealth(str(error))
        return self._contracts[provider].health_answer(received.reply)
