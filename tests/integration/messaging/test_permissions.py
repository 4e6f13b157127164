"""What each user of the broker may do, and what it must not, on a nats-server with the project's own configuration.

The table of docs/reference/permissions.md, tried one by one.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import nats.errors
import orjson
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from tests.support.conditions import eventually
from tests.support.nats_server import USERS, GuardedNatsServer
from tests.support.programs import Program
from tests.support.services import Gateway, Processor, Projector, Simulator
from tollgate.contract.batch import Malformed, events_in
from tollgate.contract.codec import encode
from tollgate.contract.events import (
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.health_bucket import POLL, POLL_STORED
from tollgate.contract.subjects import SUBJECTS
from tollgate.messaging.charging_facts import ask_replicas
from tollgate.messaging.connection import Broker
from tollgate.messaging.durable_consumer import Queue, ensure_consumer
from tollgate.messaging.health_bucket import Entry, HealthBucket
from tollgate.messaging.history import stretch
from tollgate.messaging.log import Log, LogLimits
from tollgate.messaging.log_reader import LogReader
from tollgate.messaging.pull_consumer import Deliveries, Delivery
from tollgate.messaging.read_model_client import ReadModel
from tollgate.processor.intake.queues import QUEUES

API = "$JS.API"
ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
JSON = {"Content-Type": "application/json"}


class Actor:
    """A connection as one user; `violations` is what the broker refused it."""

    def __init__(self, server: GuardedNatsServer, user: str) -> None:
        self._server = server
        self.user = user
        self.violations: list[str] = []
        self.client = Client()

    async def __aenter__(self) -> Self:
        async def on_error(error: Exception) -> None:
            self.violations.append(str(error))

        await self.client.connect(
            self._server.url(self.user), inbox_prefix=f"_INBOX_{self.user}", error_cb=on_error, allow_reconnect=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()

    async def publish(self, subject: str, payload: bytes = b"", *, reply: str = "") -> None:
        await self.client.publish(subject, payload, reply=reply)
        await self._until_answered()

    async def subscribe(self, subject: str) -> list[Msg]:
        received: list[Msg] = []

        async def on_message(message: Msg) -> None:
            received.append(message)

        await self.client.subscribe(subject, cb=on_message)
        await self._until_answered()
        return received

    async def _until_answered(self) -> None:
        """The broker answers in order: what it refuses is known when this returns."""
        # nats-py sends a flush's first ping ahead of what it flushes.
        await self.client.flush()
        await self.client.flush()

    async def ask(self, subject: str, question: object = None) -> dict[str, Any]:
        payload = b"" if question is None else orjson.dumps(question)
        answer: dict[str, Any] = orjson.loads((await self.client.request(subject, payload, timeout=2)).data)
        return answer


async def log_as_the_operator_sees_it(server: GuardedNatsServer) -> object:
    async with Actor(server, "operator") as operator:
        log = await operator.ask(f"{API}.STREAM.INFO.PAYMENTS")
        queues = [await operator.ask(f"{API}.CONSUMER.INFO.PAYMENTS.{queue.consumer}") for queue in QUEUES]
        bucket = await operator.ask(f"{API}.STREAM.INFO.KV_HEALTH")
        assert not operator.violations
    state = {name: log["state"][name] for name in ("messages", "first_seq", "last_seq", "consumer_count")}
    # Not how many messages: the record expires by itself.
    shared = bucket["state"]["last_seq"], bucket["config"], bucket["created"]
    told = [(queue["config"], queue["created"], queue["ack_floor"]) for queue in queues]
    return state, log["config"], log["created"], told, shared


async def started(server: GuardedNatsServer) -> None:
    """With a log of one payment, the queue that it waits in, and the bucket of the health polls."""
    await server.ready()
    async with Broker(server.url("projector"), name="test") as broker:
        await Log(broker).ensure(LogLimits())
        await HealthBucket(broker).ensure(replicas=1, timeout_seconds=5)
    async with Broker(server.url("processor"), name="test") as broker:
        for queue in QUEUES:
            await ensure_consumer(broker, queue)
        await HealthBucket(broker).write(b"{}", expected_revision=0, timeout_seconds=5)
    async with Broker(server.url("gateway"), name="test") as broker:
        await Log(broker).append(PaymentRequested(ID, 1990, 0), timeout_seconds=5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedNatsServer]:
    """For tests that change nothing."""
    with GuardedNatsServer(tmp_path_factory.mktemp("guarded")) as server:
        await started(server)
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def purgeable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedNatsServer]:
    """With the configuration in which gateways may purge. For tests that change nothing."""
    with GuardedNatsServer(tmp_path_factory.mktemp("purgeable"), config="nats-purge.conf") as server:
        await started(server)
        yield server


def of_the_queues(*verbs: str) -> list[str]:
    return [f"{API}.CONSUMER.{verb}.PAYMENTS.{queue.consumer}" for verb in verbs for queue in QUEUES]


ACKNOWLEDGEMENTS = [f"$JS.ACK.PAYMENTS.{queue.consumer}.1.1.1.1700000000000000000.0" for queue in QUEUES]
CHANGES_OF_THE_LOG = [f"{API}.STREAM.{verb}.PAYMENTS" for verb in ("DELETE", "PURGE", "MSG.DELETE", "RESTORE")]
DEFINITIONS_OF_THE_LOG = [f"{API}.STREAM.{verb}.PAYMENTS" for verb in ("CREATE", "UPDATE")]
CHANGES_OF_THE_QUEUES = of_the_queues("DELETE", "DURABLE.CREATE", "PAUSE", "RESET")
CHANGES_OF_THE_BUCKET = [f"{API}.STREAM.{verb}.KV_HEALTH" for verb in ("DELETE", "PURGE", "MSG.DELETE", "RESTORE")]
DEFINITIONS_OF_THE_BUCKET = [f"{API}.STREAM.{verb}.KV_HEALTH" for verb in ("CREATE", "UPDATE")]
READINGS_OF_THE_BUCKET = [
    f"{API}.STREAM.MSG.GET.KV_HEALTH",
    f"{API}.STREAM.INFO.KV_HEALTH",
    f"{API}.CONSUMER.CREATE.KV_HEALTH.reader",
]
EVENTS_OF_THE_PROCESSOR = [
    *(f"payments.{kind}.default" for kind in ("routed", "in_doubt", "released", "processed")),
    "payments.rejected",
]

MUST_NOT_PUBLISH = {
    "gateway": [
        *EVENTS_OF_THE_PROCESSOR,
        "payments.purged",
        *CHANGES_OF_THE_LOG,
        *DEFINITIONS_OF_THE_LOG,
        f"{API}.STREAM.CREATE.OTHER",
        f"{API}.STREAM.SNAPSHOT.PAYMENTS",
        *CHANGES_OF_THE_QUEUES,
        *of_the_queues("CREATE", "INFO", "MSG.NEXT"),
        *ACKNOWLEDGEMENTS,
        POLL,
        POLL_STORED,
        *CHANGES_OF_THE_BUCKET,
        *DEFINITIONS_OF_THE_BUCKET,
        *READINGS_OF_THE_BUCKET,
        "projector.charging",
        "projector.snapshot",
        "projector.adopt",
        "projector.presence",
        "processor.status",
        "_INBOX_processor.x",
        "_INBOX_operator.x",
        "$SRV.PING",
        "anything.else",
    ],
    "processor": [
        "payments.requested",
        "payments.purged",
        *CHANGES_OF_THE_LOG,
        *DEFINITIONS_OF_THE_LOG,
        *of_the_queues("DURABLE.CREATE", "PAUSE", "RESET"),
        f"{API}.CONSUMER.CREATE.PAYMENTS",
        "$KV.HEALTH.other",
        POLL_STORED,
        *CHANGES_OF_THE_BUCKET,
        *DEFINITIONS_OF_THE_BUCKET,
        "projector.summary",
        "projector.status",
        "projector.snapshot",
        "projector.adopt",
        "projector.presence",
        "_INBOX_gateway.x",
        "_INBOX_projector.x",
    ],
    "projector": [
        "payments.requested",
        *EVENTS_OF_THE_PROCESSOR,
        "payments.purged",
        *CHANGES_OF_THE_LOG,
        f"{API}.STREAM.CREATE.OTHER",
        *CHANGES_OF_THE_QUEUES,
        *of_the_queues("CREATE", "INFO", "MSG.NEXT"),
        *ACKNOWLEDGEMENTS,
        POLL,
        POLL_STORED,
        "processor.status",
        *CHANGES_OF_THE_BUCKET,
        *READINGS_OF_THE_BUCKET,
    ],
    "operator": [
        "payments.requested",
        *EVENTS_OF_THE_PROCESSOR,
        "payments.purged",
        *ACKNOWLEDGEMENTS,
        POLL,
        POLL_STORED,
        *DEFINITIONS_OF_THE_LOG,
        *DEFINITIONS_OF_THE_BUCKET,
        *(f"{API}.STREAM.{verb}.OTHER" for verb in ("CREATE", "UPDATE", "RESTORE")),
        f"{API}.STREAM.RESTORE.KV_HEALTH",
        f"{API}.STREAM.MSG.DELETE.PAYMENTS",
        *(f"{API}.DIRECT.GET.{stream}" for stream in ("PAYMENTS", "KV_HEALTH")),
        *of_the_queues("CREATE", "DURABLE.CREATE", "RESET", "MSG.NEXT"),
        *(f"{API}.CONSUMER.CREATE.PAYMENTS.{queue.consumer}.{queue.subject}" for queue in QUEUES),
        f"{API}.CONSUMER.CREATE.PAYMENTS",
        f"{API}.CONSUMER.CREATE.KV_HEALTH.reader",
        "$JS.SNAPSHOT.RESTORE.OTHER.x",
        "$JS.FC.OTHER.x",
        "projector.x.y",
        "_INBOX_gateway.x",
        "_INBOX.x",
    ],
    "console": [
        "payments.requested",
        *EVENTS_OF_THE_PROCESSOR,
        "payments.purged",
        *CHANGES_OF_THE_LOG,
        *DEFINITIONS_OF_THE_LOG,
        *CHANGES_OF_THE_QUEUES,
        *of_the_queues("CREATE", "DURABLE.CREATE", "PAUSE", "RESET", "MSG.NEXT"),
        *ACKNOWLEDGEMENTS,
        POLL,
        POLL_STORED,
        *CHANGES_OF_THE_BUCKET,
        *DEFINITIONS_OF_THE_BUCKET,
        *READINGS_OF_THE_BUCKET,
        f"{API}.STREAM.SNAPSHOT.PAYMENTS",
        f"{API}.CONSUMER.CREATE.PAYMENTS",
        f"{API}.CONSUMER.CREATE.PAYMENTS.reader",
        "projector.snapshot",
        "projector.adopt",
        "projector.presence",
        "_INBOX_gateway.x",
        "_INBOX_operator.x",
        "$SRV.PING",
    ],
}
MUST_NOT_SUBSCRIBE = {
    user: [
        ">",
        "$JS.>",
        "$SYS.>",
        "projector.*",
        *(f"_INBOX_{other}.>" for other in USERS if other != user),
        *(["payments.>", "payments.requested", "_INBOX.>", "$JS.API.>"] if user != "operator" else []),
        *(["$SRV.>"] if user != "projector" else []),
        *([POLL_STORED, "processor.status"] if user != "processor" else []),
        "$KV.>",
    ]
    for user in USERS
}
NEEDED_TO_PURGE = ("payments.purged", f"{API}.STREAM.PURGE.PAYMENTS")


def cases(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(user, subject) for user, subjects in table.items() for subject in subjects]


@pytest.mark.parametrize(("user", "subject"), cases(MUST_NOT_PUBLISH))
async def test_a_forbidden_publish_is_refused_and_has_no_effect(
    guarded: GuardedNatsServer, user: str, subject: str
) -> None:
    before = await log_as_the_operator_sees_it(guarded)
    async with Actor(guarded, user) as actor:
        await actor.publish(subject)
        assert actor.violations == [f'nats: permissions violation for publish to "{subject.lower()}"']
    assert await log_as_the_operator_sees_it(guarded) == before


@pytest.mark.parametrize(("user", "subject"), cases(MUST_NOT_SUBSCRIBE))
async def test_a_forbidden_subscription_is_refused(guarded: GuardedNatsServer, user: str, subject: str) -> None:
    async with Actor(guarded, user) as actor:
        await actor.subscribe(subject)
        assert actor.violations == [f'nats: permissions violation for subscription to "{subject.lower()}"']


async def test_no_user_receives_the_answers_for_another(guarded: GuardedNatsServer) -> None:
    async with AsyncExitStack() as stack:
        actors = {user: await stack.enter_async_context(Actor(guarded, user)) for user in USERS}
        for asking in actors.values():
            inbox = asking.client.new_inbox()
            own = await asking.subscribe(inbox)
            others = [await actor.subscribe(inbox) for actor in actors.values() if actor is not asking]
            await asking.publish(f"{API}.STREAM.INFO.PAYMENTS", reply=inbox)

            async def is_answered(own: list[Msg] = own) -> bool:
                return len(own) == 1

            await eventually(is_answered, what=f"{asking.user} receives the answer to its own question")
            assert not any(others)


@pytest.mark.parametrize("subject", [one for one in MUST_NOT_PUBLISH["gateway"] if one not in NEEDED_TO_PURGE])
async def test_a_gateway_that_may_purge_may_nothing_else(purgeable: GuardedNatsServer, subject: str) -> None:
    async with Actor(purgeable, "gateway") as gateway:
        await gateway.publish(subject)
        assert gateway.violations == [f'nats: permissions violation for publish to "{subject.lower()}"']


@pytest.mark.parametrize(
    ("user", "password"),
    [("gateway", ""), ("gateway", "wrong"), ("gateway", "p-operator-only-for-tests"), ("nobody", ""), (None, None)],
)
async def test_a_connection_needs_a_user_and_its_password(
    guarded: GuardedNatsServer, user: str | None, password: str | None
) -> None:
    # nats-py leaves the socket of a connection that is refused open.
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", guarded.port)
    assert orjson.loads((await incoming.readline()).removeprefix(b"INFO "))["auth_required"]
    outgoing.write(b"CONNECT %s\r\nPING\r\n" % orjson.dumps({"user": user, "pass": password, "verbose": False}))
    assert await incoming.readline() == b"-ERR 'Authorization Violation'\r\n"
    assert await incoming.read() == b""
    outgoing.close()
    await outgoing.wait_closed()


FORGED = encode(PaymentProcessed(str(uuid.UUID(int=7)), 1_000_000, 1, "default", 1, 2))
INTO = "payments.processed.default"
OWN = "projector.summary"
"""What the operator, and the gateway, may publish under: a stream of it would take content of their making."""
Step = tuple[str, object, str]
"""Subject, content, and where the answer goes."""


def stream(name: str, verb: str, **config: object) -> Step:
    return f"{API}.STREAM.{verb}.{name}", {"name": name, "num_replicas": 1, "storage": "memory", **config}, ""


def consumer(of: str, name: str, **config: object) -> Step:
    question = {"stream_name": of, "config": {"name": name, "ack_policy": "none", "mem_storage": True, **config}}
    return f"{API}.CONSUMER.CREATE.{of}.{name}", question, ""


LOG = {
    "subjects": [*SUBJECTS, OWN],
    "storage": "file",
    "discard": "new",
    "deny_delete": True,
    "duplicate_window": 30_000_000_000,
    "max_msg_size": 16_384,
}
PULL = {"batch": 100, "expires": 500_000_000}
WAYS_TO_HAVE_THE_BROKER_WRITE: dict[str, list[Step]] = {
    "a stream that republishes": [
        stream("OTHER", "CREATE", subjects=[OWN], republish={"src": OWN, "dest": INTO}),
        (OWN, FORGED, ""),
    ],
    "a stream that transforms, and a consumer of it": [
        stream("OTHER", "CREATE", subjects=[OWN], subject_transform={"src": OWN, "dest": INTO}),
        (OWN, FORGED, ""),
        consumer("OTHER", "reader", deliver_subject=INTO),
    ],
    "a stream of acknowledgements": [
        stream("OTHER", "CREATE", subjects=["$JS.FC.PAYMENTS.x"], no_ack=True, republish={"src": ">", "dest": INTO}),
        ("$JS.FC.PAYMENTS.x", FORGED, ""),
    ],
    "a stream of pieces of a backup": [
        stream("OTHER", "CREATE", subjects=["$JS.SNAPSHOT.>"], no_ack=True, republish={"src": ">", "dest": INTO}),
        ("$JS.SNAPSHOT.RESTORE.PAYMENTS.x", FORGED, ""),
    ],
    "the log takes and transforms another subject": [
        stream("PAYMENTS", "UPDATE", **LOG, subject_transform={"src": OWN, "dest": INTO}),
        (OWN, FORGED, ""),
    ],
    "the log takes from another stream": [
        stream("OTHER", "CREATE", subjects=[OWN]),
        (OWN, FORGED, ""),
        stream(
            "PAYMENTS",
            "UPDATE",
            **{**LOG, "subjects": list(SUBJECTS)},
            sources=[{"name": "OTHER", "subject_transforms": [{"src": OWN, "dest": INTO}]}],
        ),
    ],
    "the bucket republishes": [
        stream("KV_HEALTH", "UPDATE", storage="file", subjects=[OWN], republish={"src": OWN, "dest": INTO}),
        (OWN, FORGED, ""),
    ],
    "a backup of another stream": [(f"{API}.STREAM.RESTORE.OTHER", {"config": {"name": "OTHER"}, "state": {}}, "")],
    "a consumer that delivers into the log": [
        ("payments.requested", FORGED, ""),
        consumer("PAYMENTS", "reader", deliver_subject=INTO),
        consumer("KV_HEALTH", "reader", deliver_subject=INTO),
    ],
    "a pull that is answered into the log": [
        ("payments.requested", FORGED, ""),
        consumer("PAYMENTS", "reader"),
        (f"{API}.CONSUMER.MSG.NEXT.PAYMENTS.reader", PULL, INTO),
        (f"{API}.CONSUMER.MSG.NEXT.PAYMENTS.processor", PULL, INTO),
    ],
    "an answer of the API": [
        ("payments.requested", FORGED, ""),
        (f"{API}.STREAM.MSG.GET.PAYMENTS", {"last_by_subj": "payments.requested"}, INTO),
        (f"{API}.DIRECT.GET.PAYMENTS", {"last_by_subj": "payments.requested"}, INTO),
        (f"{API}.STREAM.INFO.PAYMENTS", None, INTO),
        (f"{API}.CONSUMER.CREATE.PAYMENTS.reader", {"config": {"description": FORGED.decode()}}, INTO),
    ],
    "a backup that is delivered into the log": [
        ("payments.requested", b"\n".join([b"x", FORGED, FORGED, b"x"]), ""),
        (f"{API}.STREAM.SNAPSHOT.PAYMENTS", {"deliver_subject": INTO, "chunk_size": 16_000}, ""),
    ],
    "an answer of the read model": [("projector.summary", FORGED, INTO), ("projector.status", FORGED, INTO)],
    "the descriptions of the programs": [("$SRV.INFO", FORGED, INTO), ("$SRV.PING", FORGED, INTO)],
    "a health record": [(POLL, FORGED, INTO), consumer("KV_HEALTH", "reader", deliver_subject=INTO)],
}


@pytest.mark.parametrize("way", WAYS_TO_HAVE_THE_BROKER_WRITE)
async def test_no_user_can_make_the_broker_write_an_event(tmp_path: Path, way: str) -> None:
    """As each user but the projector, who defines the log (docs/reference/permissions.md)."""
    with GuardedNatsServer(tmp_path / "nats") as server:
        await started(server)
        for user in ("gateway", "processor", "operator"):
            async with Actor(server, user) as actor:
                for subject, content, reply in WAYS_TO_HAVE_THE_BROKER_WRITE[way]:
                    payload = content if isinstance(content, bytes) else orjson.dumps(content) if content else b""
                    await actor.publish(subject, payload, reply=reply or actor.client.new_inbox())
        await asyncio.sleep(0.3)
        async with Actor(server, "operator") as operator:
            names = (await operator.ask(f"{API}.STREAM.NAMES"))["streams"]
            assert set(names) == {"PAYMENTS", "KV_HEALTH"}
        async with Broker(server.url("operator"), name="test") as broker:
            last = (await broker.log_state(timeout_seconds=5)).last_sequence
            found = [
                events_in(one.subject, one.payload) async for messages in stretch(broker, 1, last) for one in messages
            ]
        assert [one for one in found if not isinstance(one, Malformed)] == [[PaymentRequested(ID, 1990, 0)]]


async def test_a_gateway_cannot_disguise_the_queue_as_a_reader_of_the_log(guarded: GuardedNatsServer) -> None:
    before = await log_as_the_operator_sees_it(guarded)
    async with Actor(guarded, "gateway") as gateway:
        config = {"durable_name": "processor", "ack_policy": "explicit", "deliver_policy": "new"}
        answer = await gateway.ask(
            f"{API}.CONSUMER.CREATE.PAYMENTS.reader", {"stream_name": "PAYMENTS", "config": config}
        )
        assert "does not match" in answer["error"]["description"]
    assert await log_as_the_operator_sees_it(guarded) == before


@pytest.mark.parametrize("verb", ["PURGE", "DELETE", "MSG.DELETE", "UPDATE"])
async def test_an_answer_that_is_sent_to_the_brokers_api_changes_nothing(tmp_path: Path, verb: str) -> None:
    """The client names the reply subject, on which the broker or the projector then publishes the answer."""
    with GuardedNatsServer(tmp_path / "nats") as server:
        await started(server)
        with Projector(server.url("projector"), tmp_path):
            async with Broker(server.url("gateway"), name="test") as broker:
                await eventually(lambda: _answers(broker), what="the projector answers")
            before = await log_as_the_operator_sees_it(server)
            async with Actor(server, "gateway") as gateway:
                for subject, payload in (
                    ("projector.summary", b"no question"),
                    ("projector.payment", b"nothing"),
                    (f"{API}.STREAM.MSG.GET.PAYMENTS", b'{"seq":1}'),
                    (f"{API}.STREAM.INFO.PAYMENTS", b""),
                ):
                    await gateway.publish(subject, payload, reply=f"{API}.STREAM.{verb}.PAYMENTS")
                await asyncio.sleep(0.3)
                assert not gateway.violations
            assert await log_as_the_operator_sees_it(server) == before
            async with Broker(server.url("gateway"), name="test") as broker:
                assert await _answers(broker)


async def test_the_acknowledgement_of_a_payment_does_not_pass_for_a_purge(tmp_path: Path) -> None:
    with GuardedNatsServer(tmp_path / "nats") as server:
        await started(server)
        async with Actor(server, "gateway") as gateway:
            for _ in range(3):
                await gateway.publish("payments.requested", b"{}", reply=f"{API}.STREAM.PURGE.PAYMENTS")
            await asyncio.sleep(0.3)
            info = await gateway.ask(f"{API}.STREAM.INFO.PAYMENTS")
            assert (info["state"]["messages"], info["state"]["first_seq"]) == (4, 1)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[GuardedNatsServer]:
    """For a test that changes the log."""
    with GuardedNatsServer(tmp_path / "nats") as server:
        await started(server)
        yield server
        assert "Violation" not in server.output()


async def test_the_gateway_may_request_read_and_ask(own: GuardedNatsServer) -> None:
    async with Broker(own.url("gateway"), name="gateway-7") as broker:
        log = Log(broker)
        await log.wait_until_exists()
        event = PaymentRequested(str(uuid.uuid4()), 100, 0)
        sequence = (await log.append(event, timeout_seconds=2)).sequence
        assert (await log.append(event, timeout_seconds=2)).existing == event
        assert await read(broker, sequence) == ["payments.requested"] * 2


async def test_the_processor_may_take_from_its_queues_and_record_what_became_of_payments(
    own: GuardedNatsServer,
) -> None:
    async with Broker(own.url("processor"), name="processor") as broker:
        log = Log(broker)
        await log.wait_until_exists()
        for event in (
            PaymentRouted(ID, 1990, 1, "default", 0, "why"),
            PaymentInDoubt(ID, 1, "default", "why"),
            PaymentInDoubt(ID, 2, "fallback", "why"),
            PaymentReleased(ID, 1, "default", "why"),
            PaymentProcessed(ID, 1990, 1, "default", 0, 0),
            PaymentRejected(ID, 1990, "why"),
        ):
            await log.append(event, timeout_seconds=2)
        assert len(await read(broker, 7)) == 7
        for queue in QUEUES:
            await take_and_acknowledge(broker, queue)


async def take_and_acknowledge(broker: Broker, queue: Queue) -> None:
    taken: asyncio.Queue[Delivery] = asyncio.Queue()
    deliveries = Deliveries(broker, queue, taken.put)
    assert (await deliveries.open()).waiting == 1
    await deliveries.pull(1)
    delivery = await asyncio.wait_for(taken.get(), 5)
    await delivery.extend()
    await delivery.retry(0)
    await deliveries.pull(1)
    delivery = await asyncio.wait_for(taken.get(), 5)
    await delivery.ack()

    async def is_done() -> bool:
        return (await ensure_consumer(broker, queue)).waiting == 0

    await eventually(is_done, what=f"the event is acknowledged in {queue.consumer}")


async def test_the_processors_may_share_the_lease_for_health_polling(own: GuardedNatsServer) -> None:
    async with Broker(own.url("processor"), name="1") as one, Broker(own.url("processor"), name="2") as other:
        heard: asyncio.Queue[Entry] = asyncio.Queue()
        await HealthBucket(other).subscribe(heard.put)
        await other.client.flush()
        known = await HealthBucket(one).read(timeout_seconds=5)
        assert known is not None
        revision = await HealthBucket(one).write(b"mine", expected_revision=known.revision, timeout_seconds=5)
        assert await asyncio.wait_for(heard.get(), 5) == Entry(known.revision + 1, b"mine")
        assert revision == known.revision + 1


async def test_a_processor_replica_answers_how_it_is_where_that_is_asked_and_nowhere_else(
    own: GuardedNatsServer, tmp_path: Path
) -> None:
    nowhere = "http://127.0.0.1:9"
    with Processor(own.url("processor"), tmp_path, default=nowhere, fallback=nowhere):
        for user in ("operator", "processor"):
            async with Broker(own.url(user), name=user) as broker:

                async def is_answered(broker: Broker = broker) -> bool:
                    return len(await ask_replicas(broker)) == 1

                await eventually(is_answered, what=f"the replica answers the {user}")
        async with Actor(own, "operator") as operator:
            # The nats CLI's.
            heard = await operator.subscribe("_INBOX.cli")
            await operator.publish("processor.status", reply="payments.rejected")
            await operator.publish("processor.status", reply="_INBOX.cli")

            async def is_heard() -> bool:
                return len(heard) == 1

            await eventually(is_heard, what="the operator receives the answer")
            answer = await operator.ask(f"{API}.STREAM.MSG.GET.PAYMENTS", {"last_by_subj": "payments.rejected"})
            assert answer["error"]["description"] == "no message found"


async def test_the_projector_may_define_the_log_read_it_and_answer(own: GuardedNatsServer) -> None:
    async with (
        Broker(own.url("projector"), name="projector") as broker,
        Broker(own.url("processor"), name="processor") as asking,
        Actor(own, "operator") as operator,
    ):
        await Log(broker).ensure(LogLimits(duplicate_window_seconds=7))
        await HealthBucket(broker).ensure(replicas=1, timeout_seconds=5)
        assert await read(broker, 1) == ["payments.requested"]

        async def answer(message: Msg) -> None:
            await message.respond(b"null")

        await broker.client.subscribe("projector.payment", "q", answer)
        await broker.client.flush()
        assert await ReadModel(asking).payment(ID, timeout_seconds=2) is None
        assert await operator.ask("projector.payment") is None
        await broker.client.subscribe("projector.charging", "q", answer)
        await broker.client.flush()
        async with Actor(own, "processor") as processor:
            assert await processor.ask("projector.charging") is None
            assert await operator.ask("projector.charging") is None
            # The request that waits, and the queue of it: what `processor status` shows.
            assert (await processor.ask(f"{API}.CONSUMER.INFO.PAYMENTS.processor"))["num_pending"] == 1
            assert not processor.violations
        # The inboxes of the nats CLI.
        heard = await operator.subscribe("_INBOX.cli")
        await operator.publish("projector.payment", reply="_INBOX.cli")

        async def is_heard() -> bool:
            return len(heard) == 1

        await eventually(is_heard, what="the operator receives the answer")


async def test_the_operator_may_administer_the_log(own: GuardedNatsServer) -> None:
    async with Actor(own, "operator") as operator, Actor(own, "gateway") as gateway:
        live = await operator.subscribe("payments.>")
        await gateway.publish("payments.requested", b"{}")
        jetstream = operator.client.jetstream()
        assert (await jetstream.account_info()).streams == 2
        assert {one.config.name for one in await jetstream.streams_info()} == {"PAYMENTS", "KV_HEALTH"}
        # What `nats kv get HEALTH poll` does.
        assert (await (await jetstream.key_value("HEALTH")).get("poll")).value == b"{}"
        assert (await jetstream.consumer_info("PAYMENTS", "processor")).num_pending == 2
        # What `nats stream view` and `nats stream get` do.
        assert (await jetstream.get_msg("PAYMENTS", 2)).data == b"{}"
        config = ConsumerConfig(name="view", ack_policy=AckPolicy.NONE, mem_storage=True)
        await jetstream.add_consumer("PAYMENTS", config)
        view = await jetstream.pull_subscribe_bind("view", "PAYMENTS")
        assert [one.subject for one in await view.fetch(2)] == ["payments.requested"] * 2
        assert len(live) == 1
        assert await jetstream.purge_stream("PAYMENTS")
        assert await jetstream.delete_consumer("PAYMENTS", "processor")
        assert await jetstream.delete_stream("PAYMENTS")
        assert await jetstream.delete_stream("KV_HEALTH")
        assert not operator.violations


async def test_a_gateway_may_purge_where_the_broker_permits_it(tmp_path: Path) -> None:
    with GuardedNatsServer(tmp_path / "nats", config="nats-purge.conf") as server:
        await started(server)
        async with Broker(server.url("gateway"), name="gateway") as broker:
            log = Log(broker)
            purged = await log.append(LedgerPurged("test", 0), timeout_seconds=2)
            await log.purge_before(purged.sequence, timeout_seconds=2)
            assert (await broker.log_state(timeout_seconds=2)).first_sequence == purged.sequence
        assert "Violation" not in server.output()


async def test_the_services_start_in_any_order_and_need_nothing_that_they_may_not(tmp_path: Path) -> None:
    """From an empty store on: one payment is charged and summed, before and after the broker is killed."""
    server = GuardedNatsServer(tmp_path / "nats", config="nats-purge.conf")
    simulators = [Simulator(name, tmp_path) for name in ("default", "fallback")]
    default, fallback = (one.url for one in simulators)
    gateway = Gateway(server.url("gateway"), tmp_path, GATEWAY_NAME="gateway-2", ALLOW_PURGE="true")
    processor = Processor(server.url("processor"), tmp_path, default=default, fallback=fallback)
    projector = Projector(server.url("projector"), tmp_path)
    async with aiohttp.ClientSession() as session:
        with gateway, processor, server, simulators[0], simulators[1]:

            async def both_wait() -> bool:
                return all("waiting for the projector" in one.output() for one in (gateway, processor))

            await eventually(both_wait, what="gateway and processor wait for the log")
            with projector:
                await gateway.ready(session)
                await pay(session, gateway)
                await eventually(lambda: sums_to(session, gateway, "19.90"), what="the first payment is summed")
                await eventually(lambda: says(processor, "health of default: good"), what="health is polled")
                server.kill()
                server.start()
                await gateway.ready(session)
                await pay(session, gateway)
                await eventually(lambda: sums_to(session, gateway, "39.80"), what="the second payment is summed")
                async with session.post(f"{gateway.url}/purge-payments") as response:
                    assert response.status == 200, await response.text()
                await eventually(lambda: sums_to(session, gateway, "0"), what="everything is purged")
                assert processor.stop() == projector.stop() == gateway.stop() == 0
    for program in (server, gateway, processor, projector):
        output = program.output()
        assert "violation" not in output.lower()
        assert not [password for password in server.passwords.values() if password in output]


async def test_a_service_with_a_wrong_password_logs_that_without_showing_it(
    own: GuardedNatsServer, tmp_path: Path
) -> None:
    with Processor(
        f"nats://processor:not-the-password@127.0.0.1:{own.port}", tmp_path, default="http://x", fallback="http://x"
    ) as processor:

        async def says_so() -> bool:
            return "Authorization Violation" in processor.output()

        await eventually(says_so, what="the reason is logged")
        assert processor.is_running
        assert "not-the-password" not in processor.output()


async def says(program: Program, text: str) -> bool:
    return text in program.output()


async def read(broker: Broker, last_sequence: int) -> list[str]:
    """The subjects of the log up to `last_sequence`, as a service reads them."""
    subjects: list[str] = []
    async with LogReader(broker, 1) as reader, asyncio.timeout(10):
        while True:
            for message in await reader.batch(100):
                subjects.append(message.subject)
                if message.sequence >= last_sequence:
                    return subjects


async def pay(session: aiohttp.ClientSession, gateway: Gateway) -> None:
    payment = {"correlationId": str(uuid.uuid4()), "amount": 19.90}
    async with session.post(f"{gateway.url}/payments", json=payment, headers=JSON) as response:
        assert response.status == 202, await response.text()


async def sums_to(session: aiohttp.ClientSession, gateway: Gateway, amount: str) -> bool:
    async with session.get(f"{gateway.url}/payments-summary") as response:
        if response.status != 200:
            return False
        totals = orjson.loads(await response.read()).values()
    return sum((Decimal(str(one["totalAmount"])) for one in totals), Decimal(0)) == Decimal(amount)


async def _answers(broker: Broker) -> bool:
    try:
        await broker.client.request("projector.payment", ID.encode(), timeout=2)
    except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
        return False
    return True
