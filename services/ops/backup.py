"""Backup and restore of the log, by the broker's own snapshots.

A backup is a folder in the format of the nats CLI, so that each reads the other's: `backup.json` (the stream's
definition and state) and one archive. Ours also holds `tollgate.json`: what was charged, according to the log.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from tollgate.archive.errors import ArchiveError
from tollgate.archive.whole_log import WholeLog, in_batches, lacks_beginning, whole_log
from tollgate.contract.events import PROVIDERS, Event, PaymentProcessed, PaymentRejected, ProviderName
from tollgate.contract.expected_ledger import Ledger
from tollgate.contract.read_model_api import ArchiveEnd, Total
from tollgate.contract.subjects import STREAM
from tollgate.contract.timestamps import format_us, now_us
from tollgate.messaging.connection import Broker
from tollgate.messaging.history import REQUEST_SECONDS, Unread, stretch
from tollgate.messaging.log_snapshot import CHUNK_BYTES, log_snapshot, restore_snapshot
from tollgate.messaging.stored_message import StoredMessage
from tollgate.messaging.validity import valid_events
from tollgate.ops.checksums import checksums, first_change
from tollgate.ops.errors import BackupError
from tollgate.runtime.durable_files import write_durably
from tollgate.runtime.errors import BrokerError

META_FILE = "backup.json"
ACCOUNT_FILE = "tollgate.json"
ARCHIVE_FILE = "stream.arc.s2"
"""The format of nats-server 2.15 and later."""
OLD_ARCHIVE_FILE = "stream.tar.s2"
OPEN_NAMED_MAX = 1_000
_ARCHIVE_MAGIC = b"NATSARC1"
_MAGIC_WITHIN_BYTES = 64


@dataclass(slots=True)
class Account:
    """The log's content up to `last_sequence`: settled payments by provider, rejected ones, and those not ended."""

    last_sequence: int
    settled: dict[ProviderName, Total] = field(default_factory=lambda: {name: Total() for name in PROVIDERS})
    rejected: int = 0
    open: int = 0
    in_doubt: int = 0
    open_payments: list[dict[str, object]] = field(default_factory=list)
    """The oldest open payments, at most OPEN_NAMED_MAX."""
    set_aside: int = 0
    """Count of messages that are not valid; they are counted nowhere else."""
    unread: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of the log that the broker has lost, as (first, last)."""
    digest: str = ""
    """SHA-256 over all messages of the backup: sequence, time of storing, subject and payload."""
    archive: ArchiveEnd | None = None
    """The archive beside which the backup was made; what left the stream for it counts as the log's, too."""
    begins_at: int = 0
    """Where the stream began if what was before is not counted, for want of its archive; 0 otherwise."""
    archive_fault: str = ""
    """Why the archive that was named could not be used."""

    @property
    def missing(self) -> str:
        """The stretches that could not be read, as text; empty if there are none."""
        return str(Unread(self.unread))


async def back_up(broker: Broker, folder: Path, *, check: bool, archive_dir: Path | None = None) -> Account:
    """Writes a backup of the log into a new folder. Raises BackupError, ArchiveError and BrokerError."""
    with _new_folder(folder) as unfinished:
        meta = await _take_snapshot(broker, unfinished, check=check)
        # Opened later than the snapshot was made, so that nothing is in neither.
        log, fault = await _with_archive(broker, archive_dir)
        first = meta["state"]["first_seq"]
        account = await account_of(log, first, meta["state"]["last_seq"])
        account.archive = None if log.archive is None else log.archive.end
        state = await broker.log_state(timeout_seconds=REQUEST_SECONDS)
        if state.first_sequence != first:
            raise BackupError("the log was cut or purged while it was backed up: try again")
        account.archive_fault = fault
        if log.archive is None and await lacks_beginning(broker, 0, state):
            account.begins_at = first
        archive = next(path for name in (ARCHIVE_FILE, OLD_ARCHIVE_FILE) if (path := unfinished / name).exists())
        content = {
            "version": 1,
            "made_at": format_us(now_us()),
            **asdict(account),
            "archive_checksums": await asyncio.to_thread(checksums, archive),
        }
        write_durably(unfinished / ACCOUNT_FILE, orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return account


async def _with_archive(broker: Broker, archive_dir: Path | None) -> tuple[WholeLog, str]:
    """The log, and why its archive cannot be used: a backup of the stream is made all the same."""
    try:
        return await whole_log(broker, archive_dir), ""
    except ArchiveError as error:
        return WholeLog(broker), str(error)


async def restore(broker: Broker, folder: Path, *, replicas: int | None = None) -> int:
    """Restores the log of a backup to a broker without one. Returns its last sequence.

    Raises BackupError and BrokerError.
    """
    meta, archive = read_backup(folder)
    if replicas is not None:
        meta["config"]["num_replicas"] = replicas
    with _as_backup_error(), archive.open("rb") as file:
        state = await restore_snapshot(broker, meta, iter(lambda: file.read(CHUNK_BYTES), b""))
    _compare_states(state, meta["state"], read_account(folder))
    return int(state["last_seq"])


def _compare_states(restored: dict[str, Any], backed_up: dict[str, Any], account: Account | None) -> None:
    """Raises BackupError unless all messages are restored, except those already lost when the backup was made."""
    last, messages = backed_up["last_seq"], backed_up["messages"]
    if restored["last_seq"] != last:
        raise BackupError(f"last_seq is {restored['last_seq']} after the restore, and {last} in the backup")
    lost = 0 if account is None else Unread(account.unread).messages
    # The broker may still have counted the lost ones.
    if restored["messages"] not in {messages, last - backed_up["first_seq"] + 1 - lost}:
        raise BackupError(f"messages is {restored['messages']} after the restore, and {messages} in the backup")


def read_backup(folder: Path) -> tuple[dict[str, Any], Path]:
    """The definition and state of the stream, and the path of its archive. Raises BackupError."""
    try:
        meta = orjson.loads((folder / META_FILE).read_bytes())
        name, state = meta["config"]["name"], meta["state"]
        request = {"config": meta["config"], "state": {key: state[key] for key in state}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{folder} is no backup: {META_FILE} cannot be read ({error})") from None
    if name != STREAM:
        raise BackupError(f"{folder} is a backup of the stream {name}, and not of {STREAM}")
    for archive in (folder / ARCHIVE_FILE, folder / OLD_ARCHIVE_FILE):
        if archive.is_file():
            return request, archive
    raise BackupError(f"{folder} is no backup: {ARCHIVE_FILE} is missing")


def read_account(folder: Path) -> Account | None:
    """The account in the backup; None for a backup made by the nats CLI. Raises BackupError."""
    try:
        content = orjson.loads((folder / ACCOUNT_FILE).read_bytes())
        settled = {name: Total(**content["settled"][name]) for name in PROVIDERS}
        return Account(
            content["last_sequence"],
            settled,
            content["rejected"],
            content["open"],
            content["in_doubt"],
            unread=[(first, last) for first, last in content.get("unread", [])],
            digest=content.get("digest", ""),
            begins_at=content.get("begins_at", 0),
            archive=None if content.get("archive") is None else ArchiveEnd(**content["archive"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{folder / ACCOUNT_FILE} cannot be read: {error}") from None


def check_archive(folder: Path) -> None:
    """Compares the archive with its checksums, if there are any. Raises BackupError."""
    _, archive = read_backup(folder)
    try:
        expected = orjson.loads((folder / ACCOUNT_FILE).read_bytes()).get("archive_checksums")
    except (OSError, ValueError, AttributeError):
        expected = None
    if expected is not None and (change := first_change(archive, expected)) is not None:
        raise BackupError(f"{folder} is damaged: {change}")


async def account_of(log: WholeLog, first_sequence: int, last_sequence: int) -> Account:
    """Reads what is archived before `first_sequence`, and then the stream. Raises BrokerError and ArchiveError.

    What is both archived and in the stream is read from the stream: that is what the backup holds.
    """
    ledger = Ledger()
    account = Account(last_sequence)
    unread, digest = Unread(), hashlib.sha256()
    if log.archive is not None:
        async for messages in in_batches(log.archive.messages(1, first_sequence - 1)):
            _take_all(account, ledger, messages)
    async for messages in stretch(log.broker, first_sequence, last_sequence, unread):
        for message in messages:
            head = f"{message.sequence} {message.stored_at_us} {message.subject} {len(message.payload)}\n"
            digest.update(head.encode() + message.payload)
        _take_all(account, ledger, messages)
    account.unread, account.digest = unread.stretches, digest.hexdigest()
    account.open = len(ledger.unfinished)
    for payment in ledger.unfinished.values():
        attempt = payment.attempt
        account.in_doubt += attempt is not None and attempt.in_doubt
        if len(account.open_payments) < OPEN_NAMED_MAX:
            account.open_payments.append(
                {
                    "correlation_id": payment.request.correlation_id,
                    "amount_cents": payment.request.amount_cents,
                    "processor": None if attempt is None else attempt.attempt.provider,
                    "in_doubt": attempt is not None and attempt.in_doubt,
                }
            )
    return account


def _take_all(account: Account, ledger: Ledger, messages: Iterable[StoredMessage]) -> None:
    for message in messages:
        events = valid_events(message.sequence, message.subject, message.payload)
        account.set_aside += events is None
        for event in events or ():
            _take(account, ledger, message.sequence, event)


def _take(account: Account, ledger: Ledger, sequence: int, event: Event) -> None:
    if not ledger.apply(sequence, event):
        return
    match event:
        case PaymentProcessed():
            before = account.settled[event.provider]
            account.settled[event.provider] = Total(before.count + 1, before.amount_cents + event.amount_cents)
        case PaymentRejected():
            account.rejected += 1
        case _:
            account.settled = {name: Total() for name in PROVIDERS}
            account.rejected = 0


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder; renamed to `folder` on success, removed otherwise."""
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} exists; name a new folder")
    unfinished = folder.with_name(f".{folder.name}.{uuid4().hex}.new")
    try:
        unfinished.mkdir(mode=0o700, parents=True)
        yield unfinished
        unfinished.replace(folder)
    except OSError as error:
        raise BackupError(f"{folder} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


async def _take_snapshot(broker: Broker, folder: Path, *, check: bool) -> dict[str, Any]:
    with _as_backup_error():
        async with log_snapshot(broker, check=check) as snapshot:
            archive = folder / ARCHIVE_FILE
            first = await _write_archive(snapshot.chunks, archive)
            if _ARCHIVE_MAGIC not in first[:_MAGIC_WITHIN_BYTES]:
                archive.rename(folder / OLD_ARCHIVE_FILE)
            write_durably(folder / META_FILE, orjson.dumps(snapshot.meta, option=orjson.OPT_INDENT_2))
            return snapshot.meta


@contextlib.contextmanager
def _as_backup_error() -> Iterator[None]:
    try:
        yield
    except BrokerError as error:
        raise BackupError(str(error)) from None


async def _write_archive(chunks: AsyncIterator[bytes], path: Path) -> bytes:
    """Writes all chunks. Returns the first."""
    first = b""
    with path.open("wb") as file:
        async for chunk in chunks:
            first = first or chunk
            file.write(chunk)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return first
