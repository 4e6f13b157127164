"""Health polling: asks the providers while this replica holds the lease, and receives the answers to other replicas.

While the broker is unavailable no replica asks, because the lease cannot be determined. Routing continues with what
each replica observes itself.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from tollgate.contract.events import ProviderName
from tollgate.messaging.connection import Broker
from tollgate.messaging.health_bucket import Entry, HealthBucket
from tollgate.processor.health.client import HealthClient
from tollgate.processor.health.lease import CALL_SECONDS, FRESH_SECONDS, HealthLease, NewHealth
from tollgate.processor.health.record import PROVIDERS, Record, decode_record, encode_record
from tollgate.processor.health.report import Health, NoHealth
from tollgate.runtime.errors import BrokerError
from tollgate.runtime.log_fields import about
from tollgate.runtime.ticks import seconds_to_tick

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""The longest pause between two checks of the lease and of the connection."""
RETRY_SECONDS = 1.0
"""The pause after a request to the broker failed."""
READ_TIMEOUT_SECONDS = 3.0
WRITE_TIMEOUT_SECONDS = 1.0

OnHealth = Callable[[ProviderName, Health], None]


class HealthPoller:
    """One replica's part in the polling; `on_health` gets each answer once, whichever replica asked."""

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
        self._failed: dict[ProviderName, str] = {}
        self._logged: dict[ProviderName, Health] = {}

    async def run(self) -> None:
        """Polls until cancelled."""
        await self._bucket.subscribe(self._on_entry)
        while True:
            generation = await self._broker.connected()
            try:
                await self._read()
                while self._broker.is_connected and self._broker.generation == generation:
                    left_seconds = self._lease.due_at - time.monotonic()
                    if left_seconds <= 0:
                        await self._round()
                    else:
                        await asyncio.sleep(min(left_seconds, seconds_to_tick(TICK_SECONDS)))
            except BrokerError as error:
                self._log_trouble(str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _round(self) -> None:
        age = _Age()
        record = self._lease.begin()
        if not await self._begin(record):
            return
        await asyncio.gather(*(self._ask(provider, age) for provider in PROVIDERS))
        self._lease.finished(time.monotonic())

    async def _begin(self, record: Record) -> bool:
        """Writes the record of this round; False if another replica has written one."""
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
        self._log_lease()
        self._log_trouble(None)
        return True

    async def _ask(self, provider: ProviderName, age: "_Age") -> None:
        answer = await self._client.ask(
            provider, may_leave=lambda: age.seconds < FRESH_SECONDS, timeout_seconds=CALL_SECONDS
        )
        if age.seconds > FRESH_SECONDS + CALL_SECONDS:
            # This process was stopped meanwhile; other replicas have newer answers by now.
            answer = NoHealth("held up for too long")
        self._log_answer(provider, answer)
        health = answer if isinstance(answer, Health) else None
        async with self._writing:
            record = self._lease.answered(provider, health)
            if health is not None:
                self._report(provider, health)
            if record is not None:
                await self._share(record)

    async def _share(self, record: Record) -> None:
        try:
            revision = await self._write(record, WRITE_TIMEOUT_SECONDS)
        except BrokerError as error:
            # The other replicas receive the answers of the next round.
            self._log_trouble(str(error))
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
        self._take(self._lease.read(revision, record, time.monotonic(), asked_at_revision=asked_at_revision))

    async def _on_entry(self, entry: Entry) -> None:
        self._log_trouble(None)
        self._take(self._lease.receive(entry.revision, decode_record(entry.payload), time.monotonic()))

    def _take(self, new: NewHealth) -> None:
        self._log_lease()
        for provider, health in new.items():
            self._report(provider, health)

    def _report(self, provider: ProviderName, health: Health) -> None:
        if self._logged.get(provider) != health:
            self._logged[provider] = health
            condition = "failing" if health.failing else "good"
            logger.info(
                "health of %s: %s, a payment takes at least %g s",
                *(provider, condition, health.min_response_seconds),
                extra=about(event="provider_failing" if health.failing else "provider_healthy", provider=provider),
            )
        self._on_health(provider, health)

    def _log_lease(self) -> None:
        if self._lease.is_mine == self._was_mine:
            return
        self._was_mine = self._lease.is_mine
        record = self._lease.record
        if self._was_mine:
            logger.info("this replica now asks the providers for their health", extra=about(event="lease_taken"))
        else:
            logger.info(
                "this replica no longer asks the providers for their health; the lease is held by %s",
                record.holder if record else "no replica",
                extra=about(event="lease_lost", holder=record.holder) if record else about(event="lease_lost"),
            )

    def _log_answer(self, provider: ProviderName, answer: Health | NoHealth) -> None:
        if isinstance(answer, NoHealth):
            if self._failed.get(provider) != answer.why:
                self._failed[provider] = answer.why
                logger.warning(
                    "health check of %s failed: %s",
                    *(provider, answer.why),
                    extra=about(event="health_check_failed", provider=provider, reason=answer.why),
                )
        elif self._failed.pop(provider, None) is not None:
            logger.info(
                "health check of %s succeeds again",
                provider,
                extra=about(event="health_check_succeeded", provider=provider),
            )

    def _log_trouble(self, trouble: str | None) -> None:
        """Logs the trouble once, and once its end: when any replica has written a record."""
        if self._trouble is None and trouble is not None:
            logger.warning("health is not polled: %s", trouble, extra=about(event="health_not_polled", reason=trouble))
        elif self._trouble is not None and trouble is None:
            logger.info("health is polled again", extra=about(event="health_polled"))
        self._trouble = trouble


class _Age:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._monotonic, self._wall = time.monotonic(), time.time()

    @property
    def seconds(self) -> float:
        # Both clocks: one jumps when it is set, the other stands still while the machine sleeps.
        return max(time.monotonic() - self._monotonic, time.time() - self._wall)
