"""Asks for the payment processors' health when it is this replica's turn, and hears what the others were told.

While the broker is away nobody asks: whose turn it is cannot be known then. Routing goes on with what each replica
observes itself.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from tollgate.contract.events import ProviderName
from tollgate.messaging.connection import Broker
from tollgate.messaging.health_bucket import Entry, HealthBucket
from tollgate.processor.health.client import HealthClient
from tollgate.processor.health.lease import CALL_SECONDS, FRESH_SECONDS, HealthLease
from tollgate.processor.health.record import PROVIDERS, Record, decode_record, encode_record
from tollgate.processor.health.report import Health, NoNews
from tollgate.runtime.errors import BrokerError

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""How often a replica looks at least whether its turn has come nearer, or the connection has gone."""
RETRY_SECONDS = 1.0
"""How long it leaves the broker alone when that did not do what it was asked."""
READ_TIMEOUT_SECONDS = 3.0
WRITE_TIMEOUT_SECONDS = 1.0

OnHealth = Callable[[ProviderName, Health], None]


class HealthPoller:
    """One replica's part in the polling; `on_health` gets each answer once, whoever asked."""

    def __init__(
        self, broker: Broker, bucket: HealthBucket, client: HealthClient, lease: HealthLease, on_health: OnHealth
    ) -> None:
        self._broker = broker
        self._bucket = bucket
        self._client = client
        self._lease = lease
        self._on_health = on_health
        self._writing = asyncio.Lock()
        self._was_mine = False
        self._trouble: str | None = None
        self._silent: dict[ProviderName, str] = {}
        self._shown: dict[ProviderName, Health] = {}

    async def run(self) -> None:
        """Polls and listens until cancelled."""
        await self._bucket.hear(self._on_heard)
        while True:
            generation = await self._broker.connected()
            try:
                await self._read()
                while self._broker.is_connected and self._broker.generation == generation:
                    left_seconds = self._lease.due_at - time.monotonic()
                    if left_seconds <= 0:
                        await self._round()
                    else:
                        await asyncio.sleep(min(left_seconds, TICK_SECONDS))
            except BrokerError as error:
                self._say_trouble(str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _round(self) -> None:
        age = _Age()
        record = self._lease.begin()
        if not await self._begin(record):
            return
        await asyncio.gather(*(self._ask(provider, age) for provider in PROVIDERS))
        self._lease.finished(time.monotonic())

    async def _begin(self, record: Record) -> bool:
        """Whether this round is ours, and in the bucket."""
        try:
            revision = await self._write(record, FRESH_SECONDS)
        except BrokerError:
            self._lease.put_off(time.monotonic())
            raise
        if revision is None:
            self._lease.put_off(time.monotonic())
            await self._read()
            return False
        self._lease.begun(revision, record, time.monotonic())
        self._say_lease()
        self._say_trouble(None)
        return True

    async def _ask(self, provider: ProviderName, age: "_Age") -> None:
        answer = await self._client.ask(
            provider, may_leave=lambda: age.seconds < FRESH_SECONDS, timeout_seconds=CALL_SECONDS
        )
        if age.seconds > FRESH_SECONDS + CALL_SECONDS:
            # This process was stopped meanwhile; others have newer answers by now.
            answer = NoNews("held up for too long")
        self._say_answer(provider, answer)
        health = answer if isinstance(answer, Health) else None
        async with self._writing:
            record = self._lease.answered(provider, health)
            if health is not None:
                self._tell(provider, health)
            if record is not None:
                await self._share(record)

    async def _share(self, record: Record) -> None:
        try:
            revision = await self._write(record, WRITE_TIMEOUT_SECONDS)
        except BrokerError as error:
            # The others hear of the next round.
            self._say_trouble(str(error))
            return
        if revision is not None:
            self._lease.written(revision, record)

    async def _write(self, record: Record, timeout_seconds: float) -> int | None:
        return await self._bucket.write(
            encode_record(record), expected_revision=self._lease.revision, timeout_seconds=timeout_seconds
        )

    async def _read(self) -> None:
        asked_at_revision = self._lease.revision
        entry = await self._bucket.read(timeout_seconds=READ_TIMEOUT_SECONDS)
        revision, record = (0, None) if entry is None else (entry.revision, decode_record(entry.payload))
        news = self._lease.read(revision, record, time.monotonic(), asked_at_revision=asked_at_revision)
        self._take(news)

    async def _on_heard(self, entry: Entry) -> None:
        self._say_trouble(None)
        self._take(self._lease.heard(entry.revision, decode_record(entry.payload), time.monotonic()))

    def _take(self, news: dict[ProviderName, Health]) -> None:
        self._say_lease()
        for provider, health in news.items():
            self._tell(provider, health)

    def _tell(self, provider: ProviderName, health: Health) -> None:
        if self._shown.get(provider) != health:
            self._shown[provider] = health
            says = "it is failing" if health.failing else "it is well"
            logger.info("%s says that %s, and takes at least %g s", provider, says, health.min_response_seconds)
        self._on_health(provider, health)

    def _say_lease(self) -> None:
        if self._lease.is_mine == self._was_mine:
            return
        self._was_mine = self._lease.is_mine
        record = self._lease.record
        if self._was_mine:
            logger.info("this replica now asks the payment processors for their health")
        else:
            logger.info(
                "this replica no longer asks for health: %s does", record.holder if record else "nobody that is known"
            )

    def _say_answer(self, provider: ProviderName, answer: Health | NoNews) -> None:
        if isinstance(answer, NoNews):
            if self._silent.get(provider) != answer.why:
                self._silent[provider] = answer.why
                logger.warning("%s does not tell its health: %s", provider, answer.why)
        elif self._silent.pop(provider, None) is not None:
            logger.info("%s tells its health again", provider)

    def _say_trouble(self, trouble: str | None) -> None:
        """Once, and once when it is over: when a record was written, by whomever."""
        if self._trouble is None and trouble is not None:
            logger.warning("health is not polled: %s", trouble)
        elif self._trouble is not None and trouble is None:
            logger.info("health is polled again")
        self._trouble = trouble


class _Age:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._monotonic, self._wall = time.monotonic(), time.time()

    @property
    def seconds(self) -> float:
        # Both clocks: one jumps when it is set, the other stands still while the machine sleeps.
        return max(time.monotonic() - self._monotonic, time.time() - self._wall)
