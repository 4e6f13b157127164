"""Backup and restore of the log between real brokers with the project's users; and the log view."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from tests.support import forked
from tests.support.broken_log import change_byte
from tests.support.forked import BIN
from tests.support.nats_server import GuardedNatsServer
from tests.support.ports import free_port
from tests.support.projector_environment import ProjectorEnvironment, projector_environment
from tollgate.contract.events import PaymentInDoubt, PaymentRejected, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_api import Total
from tollgate.contract.timestamps import format_us, now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import message_at, sequence_at, stretch
from tollgate.messaging.log import Log, LogLimits
from tollgate.ops.backup import ACCOUNT_FILE, ARCHIVE_FILE, META_FILE, back_up, read_account, restore
from tollgate.ops.check_backup import check_backup
from tollgate.ops.errors import BackupError
from tollgate.ops.restore import restore_log
from tollgate.stack.settings import Settings, read_settings


async def fill(made: ProjectorEnvironment, payments: int) -> list[str]:
    """So many settled payments of 0.01, 0.02 …, one rejected, one in doubt; the ids in this order."""
    ids = [str(uuid4()) for _ in range(payments + 2)]
    for number, one in enumerate(ids[:-2], start=1):
        await made.record(one, "fallback" if number == 2 else "default", number, made.stamp())
    rejected, doubtful = ids[-2:]
    await made.append(
        PaymentRequested(rejected, 5, now_us()),
        PaymentRejected(rejected, 5, "account closed"),
        PaymentRequested(doubtful, 7, now_us()),
        PaymentRouted(doubtful, 7, 1, "fallback", made.stamp(), "test"),
        PaymentInDoubt(doubtful, 1, "fallback", "test"),
    )
    return ids


async def events_of(broker: Broker, last_sequence: int) -> list[tuple[int, str, bytes, int]]:
    return [
        (one.sequence, one.subject, one.payload, one.stored_at_us)
        async for messages in stretch(broker, 1, last_sequence)
        for one in messages
    ]


def settings_of(folder: Path, **environment: str) -> Settings:
    ports = {f"TOLLGATE_{name}": str(free_port()) for name in ("PORT", "NATS_PORT", "NATS_MONITOR_PORT")}
    return read_settings({"DATA_DIR": str(folder), **ports, **environment})


async def test_a_backup_put_back_elsewhere_holds_every_event_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    async with projector_environment(tmp_path / "first") as first:
        await fill(first, 4)
        account = await back_up(first.operator, folder, check=True)
        before = await events_of(first.operator, account.last_sequence)
        with pytest.raises(BackupError, match="exists; name a new folder"):
            await back_up(first.operator, folder, check=False)
        with pytest.raises(BackupError, match="has a log already"):
            await restore(first.operator, folder)
    assert (account.last_sequence, account.rejected, account.open, account.in_doubt) == (17, 1, 1, 1)
    assert account.settled == {"default": Total(3, 8), "fallback": Total(1, 2)}
    read = read_account(folder)
    assert read is not None
    assert (read.settled, read.last_sequence, read.open) == (account.settled, 17, 1)
    with GuardedNatsServer(tmp_path / "second") as second:
        await second.ready()
        async with Broker(second.url("operator"), name="test") as broker:
            assert await restore(broker, folder) == 17
            assert await events_of(broker, 17) == before
            with pytest.raises(BackupError, match="has a log already"):
                await restore(broker, folder)


async def test_a_backups_account_counts_every_event_of_a_message(tmp_path: Path) -> None:
    async with projector_environment(tmp_path / "first") as made:
        await made.pay_together([1, 20, 300])
        account = await back_up(made.operator, tmp_path / "backup", check=False)
    assert (account.last_sequence, account.open, account.settled["default"]) == (5, 0, Total(3, 321))


async def test_a_large_backup_comes_in_pieces_and_whole(tmp_path: Path) -> None:
    """Beyond the largest message of the broker: the archive takes many, each acknowledged."""
    with GuardedNatsServer(tmp_path / "first") as first, GuardedNatsServer(tmp_path / "second") as second:
        await first.ready()
        await second.ready()
        async with Broker(first.url("projector"), name="test") as projector:
            await Log(projector).ensure(LogLimits())
        async with Broker(first.url("gateway"), name="test") as gateway:
            # Random, so that it cannot be compressed much.
            events = (orjson.dumps({"no": "event", "random": os.urandom(200).hex()}) for _ in range(1_000))
            await asyncio.gather(*(gateway.ask("payments.requested", one, timeout_seconds=30) for one in events))
        async with Broker(first.url("operator"), name="test") as operator:
            account = await back_up(operator, tmp_path / "backup", check=False)
            before = await events_of(operator, account.last_sequence)
        assert (tmp_path / "backup" / ARCHIVE_FILE).stat().st_size > 2 * 65_536
        async with Broker(second.url("operator"), name="test") as operator:
            assert await restore(operator, tmp_path / "backup") == 1_000
            assert await events_of(operator, 1_000) == before


async def test_a_log_with_open_payments_is_put_into_a_stopped_stack_only_when_that_is_meant(tmp_path: Path) -> None:
    async with projector_environment(tmp_path / "first") as first:
        await fill(first, 2)
        await back_up(first.operator, tmp_path / "backup", check=False)
    settings = settings_of(tmp_path / "data")
    without_account = shutil.copytree(tmp_path / "backup", tmp_path / "as the nats CLI makes it")
    (without_account / ACCOUNT_FILE).unlink()
    for folder in (tmp_path / "backup", without_account):
        with pytest.raises(BackupError, match="that have not ended: 1, of them in doubt: 1"):
            await restore_log(settings, folder, allow_open=False)
    # Nothing is left of either.
    account = await restore_log(settings, tmp_path / "backup", allow_open=True)
    assert (account.last_sequence, account.open, account.settled["default"]) == (11, 1, Total(1, 1))
    with pytest.raises(BackupError, match="has a log already"):
        await restore_log(settings, tmp_path / "backup", allow_open=True)


async def test_a_broker_that_others_use_gets_no_log_whose_open_payments_are_not_known(tmp_path: Path) -> None:
    async with projector_environment(tmp_path / "first") as first:
        await fill(first, 1)
        await back_up(first.operator, tmp_path / "backup", check=False)
    with GuardedNatsServer(tmp_path / "second") as second:
        await second.ready()
        settings = settings_of(tmp_path / "data", NATS_URL=second.url("operator"))
        with pytest.raises(BackupError, match="that have not ended: 1"):
            await restore_log(settings, tmp_path / "backup", allow_open=False)
        (tmp_path / "backup" / ACCOUNT_FILE).unlink()
        with pytest.raises(BackupError, match="would send them on at once"):
            await restore_log(settings, tmp_path / "backup", allow_open=False)
        async with Broker(second.url("operator"), name="test") as operator:
            info = await operator.request("$JS.API.STREAM.INFO.PAYMENTS", b"", timeout_seconds=5)
            assert info["error"]["description"] == "stream not found"
        assert (await restore_log(settings, tmp_path / "backup", allow_open=True)).open == 1


async def test_what_is_no_backup_is_refused_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with GuardedNatsServer(tmp_path / "nats") as server:
        await server.ready()
        async with Broker(server.url("projector"), name="test") as projector:
            await Log(projector).ensure(LogLimits())
        async with Broker(server.url("operator"), name="test") as operator:
            # Of an empty log, which can be backed up as well.
            assert (await back_up(operator, tmp_path / "backup", check=False)).last_sequence == 0
            await operator.request("$JS.API.STREAM.DELETE.PAYMENTS", b"", timeout_seconds=5)
            for damage in ("no such folder", "no archive", "not JSON", "of another stream", "archive torn"):
                folder = shutil.copytree(tmp_path / "backup", tmp_path / damage)
                _spoil(folder, damage)
                with pytest.raises(BackupError) as error:
                    await restore(operator, folder)
                assert "\n" not in str(error.value)
                info = await operator.request("$JS.API.STREAM.INFO.PAYMENTS", b"", timeout_seconds=5)
                assert info["error"]["description"] == "stream not found", damage
            assert await restore(operator, tmp_path / "backup") == 0


def _spoil(folder: Path, damage: str) -> None:
    meta = folder / META_FILE
    match damage:
        case "no such folder":
            shutil.rmtree(folder)
        case "no archive":
            (folder / ARCHIVE_FILE).unlink()
        case "not JSON":
            meta.write_text("{")
        case "of another stream":
            meta.write_text(meta.read_text().replace('"PAYMENTS"', '"ORDERS"'))
        case _:
            (folder / ARCHIVE_FILE).write_bytes((folder / ARCHIVE_FILE).read_bytes()[:-20])


async def test_the_log_is_shown_by_payment_by_time_by_sequence_and_live(tmp_path: Path) -> None:
    async with projector_environment(tmp_path) as made:
        ids = await fill(made, 3)
        environment = {"NATS_URL": made.server.url("operator")}

        async def shown(*arguments: str) -> list[str]:
            done = await asyncio.to_thread(forked.run, [str(BIN / "tollgate"), "log", *arguments], env=environment)
            assert done.returncode == 0
            return done.stdout.splitlines()

        fifth = await message_at(made.operator, 5)
        assert fifth is not None
        assert await sequence_at(made.operator, fifth.stored_at_us) == 5
        assert await sequence_at(made.operator, now_us()) == 15
        assert await sequence_at(made.operator, 0) == 1
        by_payment, by_sequence, by_time, last = await asyncio.gather(
            shown("--id", ids[1], "--json"),
            shown("--from-sequence", "13"),
            shown("--to", format_us(fifth.stored_at_us), "--json"),
            shown("--count", "2", "--json"),
        )
        assert [orjson.loads(line)["event"]["type"] for line in by_payment] == [
            *("PaymentRequested", "PaymentRouted", "PaymentProcessed"),
        ]
        assert {orjson.loads(line)["event"]["correlationId"] for line in by_payment} == {ids[1]}
        assert [line.split()[2] for line in by_sequence] == ["PaymentRouted", "PaymentInDoubt"]
        assert [orjson.loads(line)["sequence"] for line in by_time] == [1, 2, 3, 4, 5]
        assert [orjson.loads(line)["sequence"] for line in last] == [13, 14]

        process = await asyncio.create_subprocess_exec(
            str(BIN / "tollgate"), "log", "-f", "--count", "1", env=environment, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert b"PaymentInDoubt" in await asyncio.wait_for(process.stdout.readline(), 20)
        await made.append(PaymentRequested(new := str(uuid4()), 1_990, now_us()))
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        assert line.split() == ["15", line.split()[1], "PaymentRequested", new, "19.90"]
        process.terminate()
        assert await process.wait() == 130

        # Events that share a message are shown apart.
        together = await made.pay_together([1, 2, 3])
        of_one, outcomes, first_two, last_two = await asyncio.gather(
            shown("--id", together[1]),
            shown("--from-sequence", "20"),
            shown("--from-sequence", "20", "--count", "2"),
            shown("--count", "2"),
        )
        assert [line.split()[0] for line in of_one] == ["17", "19", "20"]
        assert {line.split()[3] for line in of_one} == {together[1]}
        assert [line.split()[3] for line in outcomes] == together
        assert (first_two, last_two) == (outcomes[:2], outcomes[1:])


async def test_a_backup_of_a_damaged_log_names_what_is_missing_and_can_be_restored(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    async with projector_environment(tmp_path / "first") as first:
        ids = await fill(first, 3)
        first.server.stop()
        change_byte(first.server.store, b'{"type":"PaymentRouted","version":1,"correlationId":"%b"' % ids[1].encode())
        first.server.start()
        await first.server.ready()
        environment = {**os.environ, **first.variables}
        command = [str(BIN / "tollgate"), "backup", "--check", str(folder)]
        for _ in range(2):
            # The second one checks what the first one made.
            done = await asyncio.to_thread(forked.run, command, env=environment)
            assert (done.returncode, done.stderr) == (1, "")
            assert "the log is damaged, messages 5 are missing" in done.stdout
    account = await restore_log(settings_of(tmp_path / "data"), folder, allow_open=True)
    assert (account.unread, account.missing) == ([(5, 5)], "5")


async def test_a_changed_byte_of_a_backup_is_located_and_keeps_it_from_being_restored(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    async with projector_environment(tmp_path / "first") as first:
        await fill(first, 3)
        account = await back_up(first.operator, folder, check=True)
    assert (await check_backup(folder)).digest == account.digest
    archive = folder / ARCHIVE_FILE
    content = archive.read_bytes()
    middle = len(content) // 2
    archive.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    where = "stream.arc.s2 was changed between its bytes 0 and 1048576"
    with pytest.raises(BackupError, match=where):
        await check_backup(folder)
    with pytest.raises(BackupError, match=where):
        await restore_log(settings_of(tmp_path / "data"), folder, allow_open=True)


async def test_a_backup_whose_checksums_were_changed_with_it_is_known_by_its_messages(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    async with projector_environment(tmp_path / "first") as first:
        await fill(first, 1)
        await back_up(first.operator, folder, check=False)
    content = orjson.loads((folder / ACCOUNT_FILE).read_bytes())
    (folder / ACCOUNT_FILE).write_bytes(orjson.dumps({**content, "digest": "0" * 64}))
    with pytest.raises(BackupError, match="holds other messages than the log that it was made of"):
        await check_backup(folder)
