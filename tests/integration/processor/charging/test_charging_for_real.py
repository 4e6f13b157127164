"""Real processor replicas between a real broker and providers that misbehave: each payment is charged once."""

import asyncio
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tests.support.services import Processor, Projector, Simulator
from tollgate.contract.batch import split
from tollgate.contract.codec import decode, encode
from tollgate.contract.events import Event, LedgerPurged, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.payment_state import Open, PaymentState, Unrouted, evolve
from tollgate.contract.subjects import REQUESTED
from tollgate.contract.timestamps import now_us, parse_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.log_reader import LogReader

MINUTE_US = 60_000_000


class Environment:
    """A broker, two providers, and the replicas that a test starts."""

    def __init__(
        self, nats_server: NatsServer, broker: Broker, log: Log, folder: Path, session: aiohttp.ClientSession
    ) -> None:
        self.nats_server = nats_server
        self.broker = broker
        self.log = log
        self.folder = folder
        self.session = session
        self.default = Simulator("default", folder)
        self.fallback = Simulator("fallback", folder)
        self.replicas = 0
        """Replicas that the test has created so far."""

    def replica(self, name: str = "1", **env: str) -> Processor:
        self.replicas += 1
        return Processor(
            self.nats_server.url, self.folder, default=self.default.url, fallback=self.fallback.url, name=name, **env
        )

    async def request(self, count: int = 1, *, accepted_at_us: int | None = None) -> list[str]:
        ids = [str(uuid.uuid4()) for _ in range(count)]
        for correlation_id in ids:
            requested = PaymentRequested(correlation_id, 1990, accepted_at_us or now_us())
            await self.log.append(requested, timeout_seconds=10)
        return ids

    async def events(self) -> list[Event]:
        """The whole log."""
        deadline = asyncio.get_running_loop().time() + 30
        state = await self.broker.log_state(timeout_seconds=10)
        events = []
        for sequence in range(max(state.first_sequence, 1), state.last_sequence + 1):
            payload = await self.log.payload_at(sequence, deadline=deadline)
            assert payload is not None
            events += [decode(one) for one in split(payload)]
        return events

    async def kinds(self, correlation_id: str) -> list[str]:
        """The names of a payment's events, in the log's order."""
        return [
            type(event).__name__
            for event in await self.events()
            if not isinstance(event, LedgerPurged) and event.correlation_id == correlation_id
        ]

    async def settled(self, count: int, *, timeout_seconds: float = 30) -> None:
        """Waits until the log holds `count` payments that were charged, and compares them with the provider records."""

        charged: set[str] = set()
        async with (
            LogReader(self.broker, 1, subjects=["payments.processed.*"]) as reader,
            asyncio.timeout(timeout_seconds),
        ):
            while len(charged) < count:
                events = [decode(part) for message in await reader.batch(1_000) for part in split(message.payload)]
                charged |= {event.correlation_id for event in events if isinstance(event, PaymentProcessed)}
        await self.agree()

    async def agree(self) -> None:
        """Each payment that a provider charged has one valid end in the log, which names that charge, and vice versa.

        A charge can be recorded once by each replica: one that was paused during its call records the answer when it is
        resumed, after another has reclaimed the attempt and found the provider's record. By `evolve` only the first of
        these events has an effect. All of them have to be of the same charge.
        """
        provider_records = {
            "default": await self.default.book(self.session),
            "fallback": await self.fallback.book(self.session),
        }
        assert not provider_records["default"].keys() & provider_records["fallback"].keys(), "charged twice"
        ends: dict[str, PaymentProcessed] = {}
        payment_states: dict[str, PaymentState] = {}
        counts: Counter[str] = Counter()
        for position, event in enumerate(await self.events()):
            assert not isinstance(event, LedgerPurged)
            before = payment_states.get(event.correlation_id, Unrouted())
            after = payment_states[event.correlation_id] = evolve(before, position, event)
            if not isinstance(event, PaymentProcessed):
                continue
            counts[event.correlation_id] += 1
            if after is before:
                first = ends[event.correlation_id]
                assert replace(event, processed_at_us=first.processed_at_us) == first, "another charge was recorded"
            else:
                assert isinstance(before, Open)
                assert _is_charge_of(event, before.attempt)
                ends[event.correlation_id] = event
        assert max(counts.values(), default=0) <= self.replicas, "a replica recorded a charge twice"
        assert {(end.provider, end.correlation_id, end.requested_at_us) for end in ends.values()} == {
            (provider, correlation_id, parse_us(str(record["requestedAt"])))
            for provider, records in provider_records.items()
            for correlation_id, record in records.items()
        }

    async def redelivered(self) -> None:
        """Waits until the broker has delivered something a second time."""

        async def is_redelivered() -> bool:
            info = await self.broker.request("$JS.API.CONSUMER.INFO.PAYMENTS.processor", b"", timeout_seconds=5)
            filtered = orjson.dumps({"subjects_filter": REQUESTED})
            stream = await self.broker.request("$JS.API.STREAM.INFO.PAYMENTS", filtered, timeout_seconds=5)
            # Not `num_redelivered`: it is 0 again once what was redelivered is acknowledged.
            delivered_first = stream["state"]["subjects"][REQUESTED] - info["num_pending"]
            return bool(info["delivered"]["consumer_seq"] > delivered_first)

        await eventually(is_redelivered, what="a redelivery")

    async def arrived(self, simulator: Simulator, count: int = 1) -> None:
        """Waits until the provider handles `count` payments."""

        async def is_running() -> bool:
            headers = {"X-Rinha-Token": "123"}
            async with self.session.get(f"{simulator.url}/admin/stats", headers=headers) as response:
                return int((await response.json())["running"]) >= count

        await eventually(is_running, what=f"{count} payments under way")


@pytest.fixture
async def environment(nats_server: NatsServer, broker: Broker, log: Log, tmp_path: Path) -> AsyncIterator[Environment]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        created = Environment(nats_server, broker, log, tmp_path, session)
        with created.default, created.fallback:
            await created.default.ready(session)
            await created.fallback.ready(session)
            yield created


def _is_charge_of(event: PaymentProcessed, attempt: PaymentRouted) -> bool:
    """Whether the event records the charge that the intent announced, down to its stamp."""
    return (event.attempt, event.provider, event.amount_cents, event.requested_at_us) == (
        attempt.attempt,
        attempt.provider,
        attempt.amount_cents,
        attempt.requested_at_us,
    )


def last_kind(environment: Environment, correlation_id: str, kind: str) -> Callable[[], "asyncio.Future[bool]"]:
    async def is_last() -> bool:
        return (await environment.kinds(correlation_id))[-1:] == [kind]

    return lambda: asyncio.ensure_future(is_last())


async def test_a_payment_is_charged_at_the_cheaper_provider_with_its_intent_in_the_log_first(
    environment: Environment,
) -> None:
    def logged() -> list[str]:
        # Health is polled on its own.
        return [line for line in replica.output().splitlines() if "processor.health" not in line]

    with environment.replica() as replica:
        (correlation_id,) = await environment.request()
        await environment.settled(1)
        before = logged()
        await environment.request(20)
        await environment.settled(21)
        assert logged() == before, "a payment that is charged leaves no line"
    assert await environment.kinds(correlation_id) == ["PaymentRequested", "PaymentRouted", "PaymentProcessed"]
    assert correlation_id in await environment.default.book(environment.session)


async def test_payments_go_to_the_fallback_while_the_default_is_down(environment: Environment) -> None:
    environment.default.kill()
    with environment.replica(PROCESSOR_PATIENCE_SECONDS="0.5") as replica:
        await environment.request(20)
        await eventually(lambda: _has(environment.fallback, environment.session, 20), what="20 at the fallback")
        assert replica.output().count("default: circuit breaker: opened: ") == 1
        environment.default.start()
        await environment.default.ready(environment.session)
        await environment.settled(20)


async def test_a_lost_answer_sends_the_payment_back_only_where_it_may_have_been_charged(
    environment: Environment,
) -> None:
    await environment.default.switch(environment.session, "faults", lost_answer_ratio=1)
    with environment.replica():
        ids = await environment.request(10)
        await environment.settled(10)
    assert (await environment.fallback.book(environment.session)) == {}
    kinds = [await environment.kinds(correlation_id) for correlation_id in ids]
    assert ["PaymentRequested", "PaymentRouted", "PaymentInDoubt", "PaymentProcessed"] in kinds


async def test_a_charge_before_a_500_is_found_by_the_lookup(environment: Environment) -> None:
    await environment.default.switch(environment.session, "faults", error_after_charge_ratio=1)
    with environment.replica():
        (correlation_id,) = await environment.request()
        await environment.settled(1)
    assert await environment.kinds(correlation_id) == ["PaymentRequested", "PaymentRouted", "PaymentProcessed"]


async def test_a_500_without_a_charge_releases_the_payment_for_the_fallback(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/failure", failure=True)
    with environment.replica(PROCESSOR_PATIENCE_SECONDS="0.5"):
        await environment.request(20)
        await environment.settled(20)
    assert len(await environment.fallback.book(environment.session)) == 20


async def test_an_answer_that_comes_too_late_does_not_charge_elsewhere(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/delay", delay=1_500)
    with environment.replica(PROCESSOR_TIMEOUT_SECONDS="0.5"):
        (correlation_id,) = await environment.request()
        await environment.settled(1)
    assert "PaymentInDoubt" in await environment.kinds(correlation_id)
    assert (await environment.fallback.book(environment.session)) == {}


async def test_a_replica_killed_in_the_middle_of_a_charge_loses_no_payment_and_charges_none_twice(
    environment: Environment,
) -> None:
    await environment.default.switch(environment.session, "configurations/delay", delay=500)
    with environment.replica() as replica:
        await environment.request(20)
        await environment.arrived(environment.default, 5)
        replica.kill()
        replica.start()
        await environment.settled(20)


async def test_a_resumed_replica_does_not_charge_what_another_reclaimed(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/delay", delay=300)
    with environment.replica("1") as sleeper:
        await environment.request(40)
        await environment.arrived(environment.default, 5)
        sleeper.pause()
        with environment.replica("2"):
            await environment.redelivered()
            await environment.default.switch(environment.session, "configurations/failure", failure=True)
            sleeper.resume()
            await environment.default.switch(environment.session, "configurations/failure", failure=False)
            await environment.settled(40)


async def test_payments_are_charged_once_when_the_broker_is_killed_meanwhile(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/delay", delay=100)
    with environment.replica("1"), environment.replica("2"):
        await environment.request(100)
        for _ in range(2):
            await environment.arrived(environment.default, 1)
            environment.nats_server.kill()
            environment.nats_server.start()
        await environment.settled(100)


async def test_with_both_providers_down_payments_wait_in_the_log_and_are_charged_later(
    environment: Environment,
) -> None:
    environment.default.kill()
    environment.fallback.kill()
    with environment.replica(PROCESSOR_CONCURRENCY="16"):
        await environment.request(300)

        async def is_open() -> bool:
            return any(type(event).__name__ == "PaymentReleased" for event in await environment.events())

        await eventually(is_open, what="it was tried")
        environment.default.start()
        environment.fallback.start()
        await environment.settled(300)
        attempts = sum(type(event).__name__ == "PaymentRouted" for event in await environment.events())
    assert attempts < 300 + 100, "the queue was left alone while nothing could be charged"


async def test_with_both_down_only_probes_are_taken_and_the_queue_is_drained_oldest_first_afterwards(
    environment: Environment,
) -> None:
    async def deliveries() -> int:
        info = await environment.broker.request("$JS.API.CONSUMER.INFO.PAYMENTS.processor", b"", timeout_seconds=5)
        return int(info["delivered"]["consumer_seq"])

    environment.default.kill()
    environment.fallback.kill()
    with environment.replica(PROCESSOR_CONCURRENCY="16", PROCESSOR_PATIENCE_SECONDS="120"):
        ids = await environment.request(300)
        await eventually(lambda: _routed(environment, 4), what="its circuit is open")
        began, so_far = asyncio.get_running_loop().time(), await deliveries()
        routed = sum(isinstance(event, PaymentRouted) for event in await environment.events())
        await eventually(lambda: _routed(environment, routed + 3), what="it is probed")
        elapsed_seconds = asyncio.get_running_loop().time() - began
        # The pauses between probes grow from 1/8 s to a whole one; a payment that failed is put back, and comes again.
        assert await deliveries() - so_far < 20 + 8 * elapsed_seconds
        environment.default.start()
        environment.fallback.start()
        await environment.settled(300)
    charged = [event.correlation_id for event in await environment.events() if isinstance(event, PaymentProcessed)]
    late = [rank for rank, one in enumerate(charged) if abs(rank - ids.index(one)) > 48]
    assert len(late) < 30, f"not the oldest first: {late}"


async def test_a_decision_records_its_reason_the_alternative_and_the_saving(environment: Environment) -> None:
    with environment.replica():
        await environment.request()
        await environment.settled(1)
    (routed,) = [event for event in await environment.events() if isinstance(event, PaymentRouted)]
    assert routed.why.startswith("cheapest: default ")
    assert ", fallback " in routed.why
    assert routed.why.endswith("; saves 199 cents")


async def test_a_patience_out_of_range_is_refused_in_one_line(environment: Environment) -> None:
    with environment.replica(PROCESSOR_PATIENCE_SECONDS="-1") as replica:
        assert replica.wait(10) == 1
        assert "PROCESSOR_PATIENCE_SECONDS is '-1': it must be a number of seconds from 0.1" in replica.output()
        assert "Traceback" not in replica.output()


async def test_a_payment_that_the_provider_refuses_for_good_is_rejected(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/token", token="123")
    # The processors take amounts up to 1e9; this one is above.
    correlation_id = str(uuid.uuid4())
    with environment.replica() as replica:
        await environment.log.append(PaymentRequested(correlation_id, 100_000_000_001, now_us()), timeout_seconds=5)
        await eventually(last_kind(environment, correlation_id, "PaymentRejected"), what="rejected")
        await eventually(lambda: _logged(replica, "default: rejections recorded: "), what="it is logged")
    assert (await environment.default.book(environment.session)) == {}


async def test_a_request_that_was_stored_late_is_charged_unless_it_is_a_repeat(environment: Environment) -> None:
    with environment.replica() as replica, Projector(environment.nats_server.url, environment.folder):
        (first,) = await environment.request()
        await environment.settled(1)
        # A new replica has forgotten it, and the broker is told another message id.
        replica.kill()
        replica.start()
        late = PaymentRequested(first, 1990, now_us() - MINUTE_US)
        await environment.broker.ask("payments.requested", encode(late), timeout_seconds=5)
        (second,) = await environment.request(accepted_at_us=now_us() - MINUTE_US)
        await environment.settled(2)
    assert await environment.kinds(first) == [
        "PaymentRequested",
        "PaymentRouted",
        "PaymentProcessed",
        "PaymentRequested",
    ]
    assert (await environment.kinds(second))[-1] == "PaymentProcessed"


async def test_a_message_that_is_no_event_delays_no_payment(environment: Environment) -> None:
    await environment.broker.ask("payments.requested", b"\x00 not an event", timeout_seconds=5)
    with environment.replica() as replica:
        await environment.request()
        await eventually(lambda: _has(environment.default, environment.session, 1), what="charged")
        assert "is set aside" in replica.output()


async def test_a_stopped_replica_finishes_what_is_under_way(environment: Environment) -> None:
    await environment.default.switch(environment.session, "configurations/delay", delay=400)
    with environment.replica() as replica:
        await environment.request(10)
        await environment.arrived(environment.default, 10)
        assert replica.stop() == 0
    assert len([event for event in await environment.events() if isinstance(event, PaymentProcessed)]) == 10
    await environment.agree()


async def test_a_thousand_payments_with_every_fault_at_once_are_charged_once_each(environment: Environment) -> None:
    faults = {
        "jitter_ms": 50,
        "failure_ratio": 0.05,
        "lost_answer_ratio": 0.05,
        "error_after_charge_ratio": 0.05,
        "garbage_ratio": 0.05,
        "refused_ratio": 0.05,
        "close_ratio": 0.05,
    }
    for simulator in (environment.default, environment.fallback):
        await simulator.switch(environment.session, "faults", **faults)
    with ExitStack() as replicas:
        for name in ("1", "2"):
            replicas.enter_context(environment.replica(name))
        requesting = asyncio.ensure_future(environment.request(1_000))
        await environment.settled(1_000, timeout_seconds=60)
        await requesting


async def _routed(environment: Environment, count: int) -> bool:
    return sum(isinstance(event, PaymentRouted) for event in await environment.events()) >= count


async def _logged(replica: Processor, text: str) -> bool:
    return text in replica.output()


async def _has(simulator: Simulator, session: aiohttp.ClientSession, count: int) -> bool:
    return len(await simulator.book(session)) == count


async def test_an_intent_that_was_stored_late_is_never_sent(environment: Environment) -> None:
    [correlation_id] = await environment.request()
    stamp = now_us() - 5_000_000
    await environment.log.append(PaymentRouted(correlation_id, 1990, 1, "default", stamp, "late"), timeout_seconds=10)
    with environment.replica():
        await environment.settled(1)
    routed, released, again = "PaymentRouted", "PaymentReleased", "PaymentRouted"
    kinds = ["PaymentRequested", routed, released, again, "PaymentProcessed"]
    assert await environment.kinds(correlation_id) == kinds
    record = (await environment.default.book(environment.session))[correlation_id]
    assert parse_us(str(record["requestedAt"])) > stamp


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux shows when an answer arrived")
async def test_a_charge_has_the_time_at_which_its_answer_arrived_not_at_which_the_replica_read_it(
    environment: Environment,
) -> None:
    await environment.default.switch(environment.session, "configurations/delay", delay=300)
    with environment.replica() as replica:
        await environment.request()
        await environment.arrived(environment.default)
        replica.pause()

        async def is_charged() -> bool:
            return (await environment.default.stats(environment.session))["charges"] == 1

        await eventually(is_charged, what="the charge")
        charged_by_us = now_us()
        # Longer than a tick of the kernel's clock, by which the arrival is known.
        await asyncio.sleep(0.2)
        replica.resume()
        await environment.settled(1)
    (processed,) = [event for event in await environment.events() if isinstance(event, PaymentProcessed)]
    assert processed.requested_at_us + 300_000 <= processed.processed_at_us <= charged_by_us + 50_000
