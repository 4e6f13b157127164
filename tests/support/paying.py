"""Sends payments while something else happens, and audits every payment afterwards."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from qa.load.audit import Audit, audit
from qa.load.client import Answer, NoAnswerError, Origin, Pool
from qa.load.comparison import Comparer
from qa.load.generator import Generator
from qa.load.money import randomly
from qa.load.window import Window
from tests.support.conditions import eventually

CONNECTIONS = 50
IN_FLIGHT_MAX = 5_000
SETTLE_SECONDS_MAX = 40
CLOCK_SLACK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One attempt to pay that did not end in 202; times in seconds since the load began."""

    from_seconds: float
    until_seconds: float
    why: str


@dataclass(slots=True)
class Account:
    """The answers that the clients got, and the outcomes of their payments."""

    accepted: int
    unknown: int
    refusals: list[Refusal]
    slowest_seconds: float
    happened: tuple[float, float]
    """Begin and end of what was done meanwhile, in seconds since the load began."""
    audit: Audit
    summary_equals_provider_records: bool


class _WatchedPool(Pool):
    """Remembers each attempt that did not end in 202."""

    def __init__(self, origin: Origin, connections: int) -> None:
        super().__init__(origin, connections)
        self.began = time.perf_counter()
        self.refusals: list[Refusal] = []

    async def ask(self, request: bytes, timeout_seconds: float, wait_seconds: float | None = None) -> Answer:
        began = time.perf_counter()
        try:
            answer = await super().ask(request, timeout_seconds, wait_seconds)
        except NoAnswerError as fault:
            self._refused(began, str(fault))
            raise
        if answer.status != 202:
            self._refused(began, f"{answer.status} {answer.body.decode(errors='replace')}")
        return answer

    def _refused(self, began: float, why: str) -> None:
        self.refusals.append(Refusal(began - self.began, time.perf_counter() - self.began, why))


@dataclass(slots=True)
class Payers:
    """Clients that pay at a constant rate, and repeat a refused payment under the same id."""

    product: Origin
    processors: dict[str, Origin]
    rate_per_second: float
    token: str = "123"  # noqa: S105 - everybody's
    seed: int = field(default=1)

    async def pay_during(self, happening: Callable[[], None], *, after_seconds: float, seconds: float) -> Account:
        """Pays for `seconds`; `happening` runs in a thread meanwhile. Waits until everything is settled."""
        began_at = datetime.now(UTC)
        paying = _WatchedPool(self.product, CONNECTIONS)
        asking = {name: Pool(origin, 2) for name, origin in self.processors.items()}
        edge = Pool(self.product, 2)
        comparer = Comparer(edge, asking, self.token)
        generator = Generator(paying, randomly(self.seed), IN_FLIGHT_MAX)
        try:
            async with asyncio.TaskGroup() as group:
                happened = group.create_task(_happen(happening, paying.began, after_seconds))
                await generator.run(self.rate_per_second, seconds)
            settled = await _settled(comparer, began_at, len(generator.sent.accepted))
            provider_records = await comparer.entries()
        finally:
            for pool in (paying, edge, *asking.values()):
                pool.close()
        assert provider_records is not None, "the simulators list their payments"
        return Account(
            accepted=len(generator.sent.accepted),
            unknown=len(generator.sent.unknown),
            refusals=paying.refusals,
            slowest_seconds=max(generator.tally.from_schedule, default=0.0),
            happened=happened.result(),
            audit=audit(generator.sent, provider_records, began_at),
            summary_equals_provider_records=settled,
        )


async def _happen(happening: Callable[[], None], began: float, after_seconds: float) -> tuple[float, float]:
    await asyncio.sleep(after_seconds)
    from_seconds = time.perf_counter() - began
    await asyncio.to_thread(happening)
    return from_seconds, time.perf_counter() - began


async def _settled(comparer: Comparer, began_at: datetime, accepted: int) -> bool:
    """Whether, inside the bound, the summary equals the provider records and has every accepted payment."""

    async def equal() -> bool:
        compared = await comparer.compare(Window(began_at, datetime.now(UTC) + CLOCK_SLACK))
        return compared.equal and compared.product is not None and compared.product.total.count >= accepted

    try:
        await eventually(equal, what="settled", timeout_seconds=SETTLE_SECONDS_MAX)
    except AssertionError:
        return False
    return True
