"""A projector and two simulated providers around a log that a test writes by hand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
import orjson

from tests.support.conditions import eventually
from tests.support.nats_server import GuardedNatsServer
from tests.support.services import Projector, Simulator
from tollgate.contract.codec import encode
from tollgate.contract.events import (
    Event,
    LedgerPurged,
    PaymentProcessed,
    PaymentRequested,
    PaymentRouted,
    ProviderName,
)
from tollgate.contract.money import format_cents
from tollgate.contract.timestamps import format_us, now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.projector.settings import Settings, VerifySettings
from tollgate.runtime.settings import load

LONG_AGO_US = 60 * 1_000_000


class ProjectorEnvironment:
    """The programs and connections, with the project's own users at the broker."""

    def __init__(
        self,
        *,
        server: GuardedNatsServer,
        folder: Path,
        projector: Projector,
        simulators: dict[ProviderName, Simulator],
        session: aiohttp.ClientSession,
        users: dict[str, Broker],
    ) -> None:
        self.server = server
        self.folder = folder
        self.projector = projector
        self.simulators = simulators
        self._session = session
        self._users = users
        self._stamp_us = now_us() - LONG_AGO_US

    @property
    def variables(self) -> dict[str, str]:
        """What an operator sets for the `projector` commands."""
        return {
            "NATS_URL": self.server.url("operator"),
            "DATA_DIR": str(self.folder),
            "PAYMENT_PROCESSOR_URL_DEFAULT": self.simulators["default"].url,
            "PAYMENT_PROCESSOR_URL_FALLBACK": self.simulators["fallback"].url,
        }

    @property
    def settings(self) -> Settings:
        return load(Settings, self.variables)

    @property
    def asking(self) -> VerifySettings:
        return load(VerifySettings, self.variables)

    @property
    def operator(self) -> Broker:
        return self._users["operator"]

    def stamp(self) -> int:
        """A new stamp for each charge, 0.1 s after the last one."""
        self._stamp_us += 100_000
        return self._stamp_us

    async def append(self, *events: Event) -> int:
        """Appends each event as a user that may publish it. Returns the last sequence."""
        sequence = 0
        for event in events:
            user = "gateway" if isinstance(event, PaymentRequested) else "processor"
            sequence = (await Log(self._users[user]).append(event, timeout_seconds=10)).sequence
        return sequence

    async def pay_together(self, cents: Sequence[int]) -> list[str]:
        """Charges payments at default whose intents share a message, as do their outcomes. Returns their ids."""
        ids, stamps_us = [str(uuid4()) for _ in cents], [self.stamp() for _ in cents]
        payments = list(zip(ids, cents, stamps_us, strict=True))
        await self.append(*(PaymentRequested(one, amount, now_us()) for one, amount, _ in payments))
        log = Log(self._users["processor"])
        await log.append_together(
            [PaymentRouted(one, amount, 1, "default", stamp_us, "test") for one, amount, stamp_us in payments],
            timeout_seconds=10,
        )
        for one, amount, stamp_us in payments:
            await self.charge(one, "default", amount, stamp_us)
        await log.append_together(
            [PaymentProcessed(one, amount, 1, "default", stamp_us, stamp_us + 5) for one, amount, stamp_us in payments],
            timeout_seconds=10,
        )
        return ids

    async def purge(self) -> None:
        """Voids all earlier events. The server needs nats-purge.conf."""
        event = LedgerPurged("test", now_us())
        await self._users["gateway"].ask("payments.purged", encode(event), timeout_seconds=5)

    async def charge(self, correlation_id: str, processor: ProviderName, cents: int, stamp_us: int) -> None:
        """Charges at a provider and appends nothing to the log."""
        body = orjson.dumps(
            {
                "correlationId": correlation_id,
                "amount": orjson.Fragment(format_cents(cents)),
                "requestedAt": format_us(stamp_us),
            }
        )
        url = f"{self.simulators[processor].url}/payments"
        async with self._session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
            assert response.status == 200, await response.text()

    async def pay(self, cents: int, processor: ProviderName = "default") -> str:
        """A payment that is charged and recorded in the log."""
        correlation_id, stamp_us = str(uuid4()), self.stamp()
        await self.charge(correlation_id, processor, cents, stamp_us)
        await self.record(correlation_id, processor, cents, stamp_us)
        return correlation_id

    async def record(self, correlation_id: str, processor: ProviderName, cents: int, stamp_us: int) -> None:
        """Appends the events of a payment that was charged."""
        await self.append(
            PaymentRequested(correlation_id, cents, now_us()),
            PaymentRouted(correlation_id, cents, 1, processor, stamp_us, "test"),
            PaymentProcessed(correlation_id, cents, 1, processor, stamp_us, stamp_us + 5),
        )

    async def answering(self) -> None:
        """Waits until the projector answers."""

        async def answers() -> bool:
            try:
                await ReadModel(self.operator).status(timeout_seconds=2)
            except ReadModelUnavailableError:
                return False
            return True

        await eventually(answers, what="the projector answers")


@asynccontextmanager
async def projector_environment(
    folder: Path, *, config: str = "nats.conf", **variables: str
) -> AsyncIterator[ProjectorEnvironment]:
    """Up while entered. The projector has these variables, too."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(GuardedNatsServer(folder / "nats", config=config))
        simulators: dict[ProviderName, Simulator] = {
            "default": stack.enter_context(Simulator("default", folder)),
            "fallback": stack.enter_context(Simulator("fallback", folder)),
        }
        await server.ready()
        projector = stack.enter_context(Projector(server.url("projector"), folder, **variables))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        users = {
            user: await stack.enter_async_context(Broker(server.url(user), name="test"))
            for user in ("gateway", "processor", "operator")
        }
        for simulator in simulators.values():
            await simulator.ready(session)
        environment = ProjectorEnvironment(
            server=server, folder=folder, projector=projector, simulators=simulators, session=session, users=users
        )
        await environment.answering()
        yield environment
