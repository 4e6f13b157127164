"""`tollgate restore`: a backup becomes the log of a broker that has none."""

import asyncio
from pathlib import Path

from tollgate.archive.folder import Archive, note_identity
from tollgate.archive.whole_log import WholeLog, check_complete, check_joins
from tollgate.messaging.history import REQUEST_SECONDS
from tollgate.messaging.log_snapshot import delete_log
from tollgate.messaging.operator_command import BrokerAddress, BrokerSettings, broker_for_command
from tollgate.ops.archived_part import archived_part, set_later_aside
from tollgate.ops.backup import ACCOUNT_FILE, Account, account_of, check_archive, read_account, restore
from tollgate.ops.errors import BackupError
from tollgate.runtime.errors import FatalError
from tollgate.stack.broker_alone import broker_alone
from tollgate.stack.settings import Settings


async def restore_log(
    settings: Settings,
    folder: Path,
    *,
    allow_open: bool,
    replicas: int | None = None,
    archive: Archive | None = None,
    notes_in: Path | None = None,
) -> Account:
    """Restores into the DATA_DIR, with nothing else running on it, or into the broker at NATS_URL.

    `archive` is what the backup goes on from (`archived_part`): the account includes what is there only. The restored
    log has a new identity, which is noted in the archive's folder, or in `notes_in`.
    A log with payments that have not ended is refused unless `allow_open`: a processor would charge them, and nothing
    shows whether they were charged after the backup was made. Raises StackError and BrokerError.
    """
    check_archive(folder)
    account = read_account(folder)
    if account is not None and not allow_open:
        _check_ended(account)
    if settings.runs_broker:
        with broker_alone(settings) as url:
            return await _restore_at(
                BrokerAddress(url), folder, allow_open=allow_open, replicas=replicas, archive=archive, notes_in=notes_in
            )
    if account is None and not allow_open:
        # Processors may be waiting there for a log, and would charge before it could be examined.
        raise BackupError(
            f"{folder} has no {ACCOUNT_FILE} that records whether payments in it are open, and who is connected to that"
            " broker would send them on at once; --allow-open if that is meant"
        )
    return await _restore_at(
        settings, folder, allow_open=allow_open, replicas=replicas, archive=archive, notes_in=notes_in
    )


async def restore_with_archive(
    settings: Settings, folder: Path, *, allow_open: bool, replicas: int | None, sets_later_aside: bool
) -> tuple[Account, Path | None]:
    """Restores a backup beside the archive in ARCHIVE_DIR, once every byte of both is as it was written.

    Returns the account, and where stretches that are later than the backup were set aside. Raises ArchiveError, and as
    `restore_log` does.
    """
    check_archive(folder)
    archive = await asyncio.to_thread(archived_part, folder, settings.archive_dir)
    account, later = read_account(folder), None
    if account is not None and not allow_open:
        _check_ended(account)
    if settings.archive_dir is not None:
        later = await asyncio.to_thread(set_later_aside, folder, settings.archive_dir, allowed=sets_later_aside)
    found = await restore_log(settings, folder, allow_open=allow_open, replicas=replicas, archive=archive)
    return found, later


async def _restore_at(
    address: BrokerSettings,
    folder: Path,
    *,
    allow_open: bool,
    replicas: int | None,
    archive: Archive | None,
    notes_in: Path | None,
) -> Account:
    async with broker_for_command(address) as broker:
        expected = read_account(folder)
        last_sequence = await restore(broker, folder, replicas=replicas)
        log = await broker.log_state(timeout_seconds=REQUEST_SECONDS)
        try:
            if archive is not None:
                await check_joins(broker, archive, is_restored=True)
            elif expected is None or not expected.begins_at:
                await check_complete(broker, None, log)
            account = await account_of(WholeLog(broker, archive), max(log.first_sequence, 1), last_sequence)
            account.archive = None if archive is None else archive.end
            if not allow_open:
                _check_ended(account)
            if archive is not None:
                await asyncio.to_thread(note_identity, notes_in or archive.folder, archive, log.identity)
        except (BackupError, FatalError):
            await delete_log(broker)
            raise
    return account


def _check_ended(account: Account) -> None:
    if account.open:
        raise BackupError(
            f"payments of the backup that have not ended: {account.open}, of them in doubt: {account.in_doubt};"
            " a processor would send them on, and cannot know whether they were charged since."
            " Nothing was restored. See docs/how-to/backup.md, and --allow-open"
        )
