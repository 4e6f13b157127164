"""The projector recognises the log by its content, and reports what is missing of it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import duckdb
import pytest

from tests.support import forked
from tests.support.broken_log import change_byte, copy_of, cut_in_half, put_back
from tests.support.conditions import eventually
from tests.support.forked import BIN
from tests.support.nats_server import NatsServer
from tests.support.services import Projector
from tollgate.contract.codec import encode
from tollgate.contract.events import LedgerPurged, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_api import SummaryQuestion, Total
from tollgate.contract.timestamps import now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.log import Log
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.projector.live.files import ModelFiles


@pytest.fixture
async def projector(nats_server: NatsServer, tmp_path: Path, log: Log) -> AsyncIterator[Projector]:
    with Projector(nats_server.url, tmp_path, SUMMARY_SETTLE_SECONDS="0") as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return ModelFiles(tmp_path / "projector")


async def pay(log: Log, count: int) -> list[str]:
    ids = [str(uuid4()) for _ in range(count)]
    for one in ids:
        await log.append(PaymentRequested(one, 100, now_us()), timeout_seconds=20)
        await log.append(PaymentRouted(one, 100, 1, "default", 7, "test"), timeout_seconds=20)
        await log.append(PaymentProcessed(one, 100, 1, "default", 7, 8), timeout_seconds=20)
    return ids


async def settled(broker: Broker) -> Total:
    """Waits until the projector answers."""
    total = Total()

    async def answers() -> bool:
        nonlocal total
        try:
            total = (await ReadModel(broker).summary(SummaryQuestion(), timeout_seconds=4)).totals["default"]
        except ReadModelUnavailableError:
            return False
        return True

    await eventually(answers, what="the projector answers", timeout_seconds=30)
    return total


async def operate(nats_server: NatsServer, folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """A command of the `projector` program: its exit status, and what it says."""
    done = await asyncio.to_thread(
        forked.run,
        [str(BIN / "projector"), *arguments],
        env={**os.environ, "NATS_URL": nats_server.url, "DATA_DIR": str(folder), **env},
    )
    return done.returncode, done.stdout + done.stderr


async def branched(nats_server: NatsServer, broker: Broker, log: Log, *, common: int, lost: int) -> Path:
    """Payments, a copy of the broker's folder, and further payments, which the copy lacks."""
    await pay(log, common)
    nats_server.stop()
    copy = copy_of(nats_server, "older")
    nats_server.start()
    await pay(log, lost)
    assert (await settled(broker)).count == common + lost
    return copy


async def test_a_log_that_went_back_under_a_running_projector_is_read_anew_and_stays_reported(
    nats_server: NatsServer, broker: Broker, log: Log, projector: Projector, files: ModelFiles
) -> None:
    copy = await branched(nats_server, broker, log, common=2, lost=3)
    nats_server.kill()
    put_back(nats_server, copy)
    nats_server.start()
    assert await asyncio.to_thread(projector.wait, 20) == 1
    assert projector.output().count("the log went back from 15 to 6; starting again to read it anew") == 1
    projector.start()
    assert await settled(broker) == Total(2, 200)
    status, said = await operate(nats_server, files.folder.parent, "status")
    assert (status, "the log went back from 15 to 6, as noticed at" in said) == (1, True)
    # What the log has lost can still be looked up.
    with duckdb.connect(str(files.set_aside), read_only=True) as kept:
        assert kept.execute("SELECT count(*) FROM settled").fetchall() == [(5,)]
    files.log_changed.unlink()
    assert (await operate(nats_server, files.folder.parent, "status"))[0] == 0


@pytest.mark.parametrize("is_running", [True, False])
async def test_an_older_read_model_beside_a_longer_log_with_another_past_is_built_anew(
    nats_server: NatsServer, broker: Broker, log: Log, projector: Projector, files: ModelFiles, *, is_running: bool
) -> None:
    copy = await branched(nats_server, broker, log, common=2, lost=3)
    if is_running:
        projector.pause()
    else:
        projector.stop()
    nats_server.kill()
    put_back(nats_server, copy)
    nats_server.start()
    await pay(log, 8)
    if is_running:
        projector.resume()
        assert await asyncio.to_thread(projector.wait, 20) == 1
    projector.start()
    assert await settled(broker) == Total(10, 1000)
    assert "the log went back before 15, and has grown since" in projector.output()
    status, said = await operate(nats_server, files.folder.parent, "status")
    assert (status, "another message is stored there" in said) == (1, True)


async def test_a_message_that_cannot_be_read_is_named_by_the_status_after_each_restart(
    nats_server: NatsServer, broker: Broker, log: Log, projector: Projector, files: ModelFiles
) -> None:
    ids = await pay(log, 4)
    assert (await settled(broker)).count == 4
    projector.stop()
    nats_server.stop()
    change_byte(nats_server.store, f'"correlationId":"{ids[1]}","amountCents":100,"acceptedAt"'.encode())
    nats_server.start()
    await nats_server.ready()
    # The read model has the payment, and the broker says nothing of what it cannot read.
    files.current.unlink()
    projector.start()
    await settled(broker)
    assert "messages 4 to 4 of the log cannot be read" in projector.output()
    for _ in range(2):
        status, said = await operate(nats_server, files.folder.parent, "status")
        assert (status, "1 messages could not be read, the first at 4" in said) == (1, True)
        projector.stop()
        projector.start()
        await settled(broker)


async def test_a_log_that_was_cut_short_is_named_by_the_status(
    nats_server: NatsServer, broker: Broker, log: Log, projector: Projector, files: ModelFiles
) -> None:
    await pay(log, 4)
    assert (await settled(broker)).count == 4
    nats_server.stop()
    cut_in_half(nats_server)
    nats_server.start()

    async def says_so() -> bool:
        status, said = await operate(nats_server, files.folder.parent, "status")
        return status == 1 and "the log is damaged" in said and "between 1 and 12 are missing" in said

    await eventually(says_so, what="the status says it", timeout_seconds=30)
    assert projector.is_running


async def test_a_purge_while_the_projector_is_away_is_no_change_of_the_log(
    nats_server: NatsServer, broker: Broker, log: Log, projector: Projector, files: ModelFiles
) -> None:
    await pay(log, 3)
    assert (await settled(broker)).count == 3
    projector.stop()
    await pay(log, 2)
    reply = await broker.ask("payments.purged", encode(LedgerPurged("test", now_us())), timeout_seconds=5)
    assert b'"seq":16' in reply.data
    await log.purge_before(16, timeout_seconds=5)
    await pay(log, 1)
    projector.start()
    assert await settled(broker) == Total(1, 100)
    assert (await operate(nats_server, files.folder.parent, "status"))[0] == 0
    assert not files.log_changed.exists()
    assert "anew" not in projector.output()


async def test_a_file_of_a_version_without_marks_gets_one_with_its_next_commit(
    nats_server: NatsServer, broker: Broker, log: Log, projector: Projector, files: ModelFiles
) -> None:
    await pay(log, 2)
    assert (await settled(broker)).count == 2
    projector.stop()
    with duckdb.connect(str(files.current)) as connection:
        connection.execute("DROP TABLE log_mark")
        connection.execute("DROP TABLE unread")
    projector.start()
    await pay(log, 1)
    assert (await settled(broker)).count == 3
    projector.stop()
    with duckdb.connect(str(files.current), read_only=True) as connection:
        assert connection.execute("SELECT max(position) FROM log_mark").fetchall() == [(9,)]
    assert "anew" not in projector.output()


@pytest.mark.parametrize("sequence", [1, 5, 12])
async def test_a_rebuild_ends_with_the_sequence_that_cannot_be_read_unless_that_is_accepted(
    nats_server: NatsServer, broker: Broker, log: Log, projector: Projector, files: ModelFiles, *, sequence: int
) -> None:
    ids = await pay(log, 4)
    assert (await settled(broker)).count == 4
    projector.stop()
    nats_server.stop()
    kind = (b"PaymentRequested", b"PaymentRouted", b"PaymentProcessed")[(sequence - 1) % 3]
    payment = ids[(sequence - 1) // 3].encode()
    change_byte(nats_server.store, b'{"type":"%b","version":1,"correlationId":"%b"' % (kind, payment))
    nats_server.start()
    await nats_server.ready()
    before = files.current.read_bytes()
    status, said = await operate(nats_server, files.folder.parent, "rebuild")
    assert (status, said.count("of the log cannot be read")) == (1, 1), said
    assert said.splitlines()[-1].startswith(f"messages {sequence} to {sequence} of the log cannot be read")
    assert files.current.read_bytes() == before
    accepted = ("rebuild", "--accept-differences")
    status, said = await operate(nats_server, files.folder.parent, *accepted, LOG_MISSING_ACCEPTED="1")
    assert status == 0, said
    with duckdb.connect(str(files.current), read_only=True) as connection:
        assert connection.execute("SELECT * FROM unread").fetchall() == [(sequence, sequence)]
