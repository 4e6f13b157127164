"""Several gateways store requests in groups in one log, and the log holds each payment's request once."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.nats_server import NatsServer
from tollgate.contract.batch import EVENTS_MAX, events_in
from tollgate.contract.events import LedgerPurged, PaymentRequested
from tollgate.contract.subjects import REQUESTED
from tollgate.gateway.dedup import DedupIndex
from tollgate.gateway.request_writer import RequestWriter
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.runtime.errors import BrokerUnavailableError
from tollgate.runtime.id_filter import IdFilter
from tollgate.runtime.tasks import end

GATEWAYS = 3
PAYMENTS = 60
REQUESTS = 400


class OneGateway:
    """What accepts requests in a gateway, without HTTP."""

    def __init__(self, broker: Broker) -> None:
        self.log = Log(broker)
        self.index = DedupIndex(broker, IdFilter(1 << 16))
        self.writer = RequestWriter(self.log, self.index)

    async def accept(self, correlation_id: str, amount_cents: int) -> int | None:
        """The amount under which the payment is in the log; None if it was known before."""
        if correlation_id in self.index:
            return None
        return await self.writer.store(PaymentRequested(correlation_id, amount_cents, 1), timeout_seconds=10)


@asynccontextmanager
async def gateway(url: str) -> AsyncIterator[OneGateway]:
    async with Broker(url, name="gateway") as broker:
        one = OneGateway(broker)
        running = asyncio.ensure_future(one.index.run())
        try:
            await one.index.looked(timeout_seconds=10)
            yield one
        finally:
            await end(running)


async def stored(log: Log, broker: Broker) -> list[list[PaymentRequested]]:
    """The requests of each message of the log."""
    last = (await broker.log_state(timeout_seconds=5)).last_sequence
    deadline = asyncio.get_running_loop().time() + 30
    messages = []
    for sequence in range(1, last + 1):
        payload = await log.payload_at(sequence, deadline=deadline)
        if payload is not None and b"PaymentRequested" in payload:
            events = events_in(REQUESTED, payload)
            assert isinstance(events, list)
            messages.append([one for one in events if isinstance(one, PaymentRequested)])
    return messages


@pytest.mark.parametrize("seed", range(5))
async def test_the_first_request_of_a_payment_counts_however_gateways_interleave(
    seed: int, nats_server: NatsServer, log: Log, broker: Broker
) -> None:
    chance = random.Random(seed)
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(PAYMENTS)]

    async def ask(
        one: OneGateway, correlation_id: str, amount_cents: int, pause_seconds: float
    ) -> tuple[str, int, int]:
        await asyncio.sleep(pause_seconds)
        return correlation_id, amount_cents, await one.accept(correlation_id, amount_cents) or 0

    async with gateway(nats_server.url) as a, gateway(nats_server.url) as b, gateway(nats_server.url) as c:
        answers = await asyncio.gather(
            *(
                ask(chance.choice((a, b, c)), chance.choice(ids), chance.randint(1, 3), chance.random() / 5)
                for _ in range(REQUESTS)
            )
        )
    requests = [one for message in await stored(log, broker) for one in message]
    amounts = {one.correlation_id: one.amount_cents for one in requests}
    assert len(requests) == len(amounts), "each payment is in the log once"
    assert set(amounts) == {correlation_id for correlation_id, _, _ in answers}
    for correlation_id, _, told in answers:
        assert told in (0, amounts[correlation_id])


async def test_what_gathers_while_a_group_is_stored_shares_a_message(
    nats_server: NatsServer, log: Log, broker: Broker
) -> None:
    async with gateway(nats_server.url) as one:
        await asyncio.gather(*(one.accept(str(uuid.uuid4()), 5) for _ in range(100)))
    sizes = [len(message) for message in await stored(log, broker)]
    assert sum(sizes) == 100
    assert max(sizes) == 32
    assert len(sizes) == 4


async def test_a_group_waits_for_others_after_the_one_before_and_is_stored_at_once_when_it_is_whole(
    monkeypatch: pytest.MonkeyPatch, nats_server: NatsServer, log: Log, broker: Broker
) -> None:
    monkeypatch.setattr("tollgate.gateway.request_writer.INTERVAL_SECONDS", 3_600.0)
    ids = [str(uuid.UUID(int=number, version=4)) for number in range(1 + EVENTS_MAX)]
    async with gateway(nats_server.url) as one:
        assert await one.accept(ids[0], 1) == 1, "the first waits for nothing"
        others = [asyncio.ensure_future(one.accept(correlation_id, 1)) for correlation_id in ids[1:-1]]
        await broker.log_state(timeout_seconds=5)
        assert await asyncio.gather(*others, one.accept(ids[-1], 1)) == [1] * EVENTS_MAX
    assert [len(message) for message in await stored(log, broker)] == [1, EVENTS_MAX]


async def test_a_payment_can_be_requested_again_after_a_purge(
    nats_server: NatsServer, log: Log, broker: Broker
) -> None:
    payment = str(uuid.uuid4())
    async with gateway(nats_server.url) as one, gateway(nats_server.url) as other:
        assert await one.accept(payment, 5) == 5
        purged = await log.append(LedgerPurged("a test", 1), timeout_seconds=5)
        await log.purge_before(purged.sequence, timeout_seconds=5)
        await asyncio.gather(*(each.index.reached(purged.sequence, deadline=_in(10)) for each in (one, other)))
        assert {await one.accept(payment, 7), await other.accept(payment, 7)} <= {7, None}
        await other.accept(str(uuid.uuid4()), 1)
    assert [[one.amount_cents for one in message] for message in await stored(log, broker)] == [[7], [1]]


async def test_requests_that_the_broker_does_not_acknowledge_fail_in_time_and_are_found_when_they_were_stored(
    nats_server: NatsServer, log: Log, broker: Broker
) -> None:
    payment = str(uuid.uuid4())
    async with gateway(nats_server.url) as one:
        nats_server.pause()
        request = PaymentRequested(payment, 5, 1)
        with pytest.raises(BrokerUnavailableError):
            await one.writer.store(request, timeout_seconds=0.5)
        nats_server.resume()
        assert await one.writer.store(PaymentRequested(payment, 6, 1), timeout_seconds=10) in (5, 6)
    requests = [one for message in await stored(log, broker) for one in message]
    assert [one.correlation_id for one in requests] == [payment]


async def test_nothing_is_stored_behind_an_earlier_end_of_a_log_that_was_not_looked_at_since_the_broker_was_away(
    nats_server: NatsServer, log: Log, broker: Broker
) -> None:
    async with Broker(nats_server.url, name="gateway") as connection:
        gateway = OneGateway(connection)
        looking = asyncio.ensure_future(gateway.index.run())
        await gateway.index.looked(timeout_seconds=10)
        assert await gateway.accept(str(uuid.uuid4()), 1) == 1
        await end(looking)
        # As if the log that was read had gone further than the one that the broker now has.
        gateway.index.last_sequence = 100
        nats_server.kill()
        nats_server.start()
        with pytest.raises(BrokerUnavailableError):
            await gateway.writer.store(PaymentRequested(str(uuid.uuid4()), 2, 1), timeout_seconds=1.5)
    assert [[one.amount_cents for one in message] for message in await stored(log, broker)] == [[1]]


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
