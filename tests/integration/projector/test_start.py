"""A start of the projector reads what is open and the log's tail, however much was stored since the oldest doubt."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tollgate.contract.batch import join
from tollgate.contract.codec import encode
from tollgate.contract.events import (
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.subjects import subject_of
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.projector.live.active_model import Model, usable_snapshot
from tollgate.projector.live.files import open_snapshot_of
from tollgate.projector.live.store import Store
from tollgate.projector.rebuild.builder import build

DOUBT = str(uuid4())
MESSAGES_MIN = 300
"""Messages between two snapshots; the product has 10,000."""
BATCH = 100
"""Messages that are stored at once, and committed at once."""


async def store(broker: Broker, *events: Event) -> None:
    """Stores each event as a message of its own, many at once."""
    await asyncio.gather(
        *(broker.ask(subject_of(event), join([encode(event)]), timeout_seconds=20) for event in events)
    )


async def doubt(broker: Broker) -> None:
    """The payment whose attempt is in doubt from the log's beginning on."""
    stamp_us = now_us()
    for event in (
        PaymentRequested(DOUBT, 5, stamp_us),
        PaymentRouted(DOUBT, 5, 1, "default", stamp_us, "test"),
        PaymentInDoubt(DOUBT, 1, "default", "cut off", request_sequence=1),
    ):
        await store(broker, event)


async def pay(broker: Broker, count: int) -> None:
    ids, stamp_us = [str(uuid4()) for _ in range(count)], now_us()
    await store(broker, *(PaymentRequested(one, 5, stamp_us) for one in ids))
    await store(broker, *(PaymentRouted(one, 5, 1, "default", stamp_us, "test") for one in ids))
    await store(broker, *(PaymentProcessed(one, 5, 1, "default", stamp_us, stamp_us + 5) for one in ids))


@asynccontextmanager
async def started(broker: Broker, path: Path, *, messages_min: int = MESSAGES_MIN) -> AsyncIterator[tuple[Model, int]]:
    """A read model that has caught up, and how many messages it read for that."""
    identity = (await broker.log_state(timeout_seconds=10)).identity
    opened = Store.open(path, identity)
    snapshot = await usable_snapshot(broker, path, opened, identity)
    model = Model(broker, path, opened, identity, snapshot=snapshot, snapshot_messages_min=messages_min)
    first = model.follower.position + 1
    following = asyncio.ensure_future(model.follower.run())
    try:
        await caught_up(broker, model)
        yield model, model.follower.position - first + 1
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        opened.close()


async def caught_up(broker: Broker, model: Model) -> None:
    async with asyncio.timeout(30):
        await model.follower.reached((await broker.log_state(timeout_seconds=10)).last_sequence)


async def live_for(broker: Broker, path: Path, batches: int) -> None:
    """Keeps a read model running while payments are made, and stops it."""
    async with started(broker, path) as (model, _):
        for _ in range(batches):
            await pay(broker, BATCH // 3)
            await caught_up(broker, model)


async def test_one_old_doubt_makes_no_start_read_what_was_stored_since(
    broker: Broker, log: Log, tmp_path: Path
) -> None:
    path = tmp_path / "model.duckdb"
    await doubt(broker)
    await live_for(broker, path, batches=5)
    async with started(broker, path) as (_, first):
        pass
    await live_for(broker, path, batches=25)
    async with started(broker, path) as (model, second):
        assert list(model.follower.projection.open) == [DOUBT]
        view = model.follower.payment(DOUBT)
        assert view is not None
        assert (view.state, view.sequences) == ("in_doubt", [1, 2, 3])
        assert model.store.rows() == (30 * (BATCH // 3), 0)
    assert first <= MESSAGES_MIN + BATCH
    assert second <= MESSAGES_MIN + BATCH, "five times as many messages since the doubt"


async def test_a_snapshot_in_doubt_is_not_used_and_the_log_is_read_from_the_oldest_open_request_on(
    broker: Broker, log: Log, tmp_path: Path
) -> None:
    path = tmp_path / "model.duckdb"
    await doubt(broker)
    await live_for(broker, path, batches=5)
    snapshot = open_snapshot_of(path)
    whole = snapshot.read_bytes()
    snapshot.write_bytes(whole[:-10])
    everything = (await broker.log_state(timeout_seconds=10)).last_sequence
    async with started(broker, path, messages_min=10**9) as (model, read):
        assert read == everything
        assert list(model.follower.projection.open) == [DOUBT]
        expected = model.store.rows()
    # A whole one of another log: its message was stored at another time.
    snapshot.unlink()
    await live_for(broker, path, batches=4)
    is_of_another_log = snapshot.read_bytes().replace(b'"stored_at_us":1', b'"stored_at_us":2', 1)
    body = is_of_another_log.splitlines(keepends=True)[:-1]
    snapshot.write_bytes(b"".join(body) + checksum(b"".join(body)))
    async with started(broker, path, messages_min=10**9) as (model, read):
        assert read == (await broker.log_state(timeout_seconds=10)).last_sequence
        assert model.store.rows() == (expected[0] + 4 * (BATCH // 3), 0)


def checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body).hexdigest().encode() + b"\n"


async def test_a_rebuilt_read_model_is_adopted_without_reading_the_log_again(
    broker: Broker, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollgate.projector.rebuild.builder.SNAPSHOT_MESSAGES_MIN", MESSAGES_MIN)
    live, rebuilt = tmp_path / "model.duckdb", tmp_path / "rebuild.duckdb"
    await doubt(broker)
    await live_for(broker, live, batches=6)
    await store(broker, PaymentRequested(pending := str(uuid4()), 5, now_us()))
    identity = (await broker.log_state(timeout_seconds=10)).identity
    await build(broker, rebuilt, identity, lambda _read, _left: None)
    async with started(broker, live) as (model, _), started(broker, rebuilt) as (other, read):
        assert read == 0
        assert list(other.follower.projection.open) == [DOUBT, pending]
        assert other.follower.projection.open == model.follower.projection.open
        assert other.store.rows() == model.store.rows()
