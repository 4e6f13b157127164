"""The shared record on a real broker: one writer wins, all receive it, and it survives a restart."""

import orjson
import pytest

from tests.support.conditions import eventually
from tests.support.nats_server import NatsServer
from tollgate.contract.health_bucket import BUCKET, POLL, POLL_STORED
from tollgate.messaging.connection import Broker
from tollgate.messaging.health_bucket import Entry, HealthBucket, _definition
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError


@pytest.fixture
async def bucket(broker: Broker) -> HealthBucket:
    made = HealthBucket(broker)
    await made.ensure(replicas=1, timeout_seconds=10)
    return made


async def heard_from(bucket: HealthBucket) -> list[Entry]:
    heard: list[Entry] = []

    async def on_change(entry: Entry) -> None:
        heard.append(entry)

    await bucket.subscribe(on_change)
    return heard


async def test_of_two_writers_with_the_same_revision_one_succeeds(bucket: HealthBucket) -> None:
    assert await bucket.read(timeout_seconds=5) is None
    first = await bucket.write(b"first", expected_revision=0, timeout_seconds=5)
    assert first is not None
    assert await bucket.write(b"also first", expected_revision=0, timeout_seconds=5) is None
    second = await bucket.write(b"second", expected_revision=first, timeout_seconds=5)
    assert second is not None
    assert await bucket.write(b"also second", expected_revision=first, timeout_seconds=5) is None
    assert await bucket.read(timeout_seconds=5) == Entry(second, b"second")


async def test_only_stored_records_are_received_also_after_the_broker_was_killed(
    nats_server: NatsServer, broker: Broker, bucket: HealthBucket
) -> None:
    heard = await heard_from(bucket)
    first = await bucket.write(b"first", expected_revision=0, timeout_seconds=5)
    await bucket.write(b"refused", expected_revision=0, timeout_seconds=5)
    generation = broker.generation
    nats_server.kill()
    nats_server.start()

    async def is_back() -> bool:
        return broker.is_connected and broker.generation > generation

    await eventually(is_back, what="connected again")
    assert first is not None
    assert await bucket.read(timeout_seconds=5) == Entry(first, b"first")
    second = await bucket.write(b"second", expected_revision=first, timeout_seconds=5)
    assert second is not None

    async def is_heard() -> bool:
        return heard == [Entry(first, b"first"), Entry(second, b"second")]

    await eventually(is_heard, what="both are heard, and nothing else")


async def test_a_message_that_the_broker_did_not_republish_is_ignored(broker: Broker, bucket: HealthBucket) -> None:
    heard = await heard_from(bucket)
    await broker.client.publish(POLL_STORED, b"not stored")
    await bucket.write(b"stored", expected_revision=0, timeout_seconds=5)

    async def is_heard() -> bool:
        return [entry.payload for entry in heard] == [b"stored"]

    await eventually(is_heard, what="only what was stored")


async def test_a_record_that_is_not_renewed_expires_and_can_be_written_again(
    broker: Broker, bucket: HealthBucket
) -> None:
    shorter = orjson.dumps({**_definition(1), "max_age": 1_000_000_000})
    await broker.request(f"$JS.API.STREAM.UPDATE.{BUCKET}", shorter, timeout_seconds=5)
    first = await bucket.write(b"first", expected_revision=0, timeout_seconds=5)
    assert first is not None

    async def is_gone() -> bool:
        return await bucket.read(timeout_seconds=5) is None

    await eventually(is_gone, what="the record is gone")
    assert await bucket.write(b"follows", expected_revision=first, timeout_seconds=5) is None
    assert await bucket.write(b"anew", expected_revision=0, timeout_seconds=5) == first + 1


async def test_without_a_bucket_reading_and_writing_raise_an_error(broker: Broker) -> None:
    bucket = HealthBucket(broker)
    with pytest.raises(BrokerError, match="stream not found"):
        await bucket.read(timeout_seconds=5)
    with pytest.raises(BrokerUnavailableError):
        await bucket.write(b"x", expected_revision=0, timeout_seconds=1)


async def test_a_bucket_of_an_earlier_definition_is_brought_to_this_one(broker: Broker, bucket: HealthBucket) -> None:
    longer = orjson.dumps({**_definition(1), "max_bytes": 1_000_000})
    await broker.request(f"$JS.API.STREAM.UPDATE.{BUCKET}", longer, timeout_seconds=5)
    await bucket.ensure(replicas=1, timeout_seconds=5)
    info = await broker.request(f"$JS.API.STREAM.INFO.{BUCKET}", b"", timeout_seconds=5)
    assert info["config"]["max_bytes"] == 65_536
    assert info["config"]["republish"] == {"src": POLL, "dest": POLL_STORED}


async def test_the_bucket_is_one_for_other_tools_too(broker: Broker, bucket: HealthBucket) -> None:
    await bucket.write(b'{"holder":"x"}', expected_revision=0, timeout_seconds=5)
    entry = await (await broker.client.jetstream().key_value("HEALTH")).get("poll")
    assert entry.value == b'{"holder":"x"}'
