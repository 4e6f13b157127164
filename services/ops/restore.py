"""`tollgate restore`: a backup becomes the log of a broker that has none."""

from pathlib import Path

from tollgate.messaging.log_snapshot import delete_log
from tollgate.messaging.operator_command import BrokerAddress, BrokerSettings, broker_for_command
from tollgate.ops.backup import ACCOUNT_FILE, Account, account_of, check_archive, read_account, restore
from tollgate.ops.errors import BackupError
from tollgate.stack.broker_alone import broker_alone
from tollgate.stack.settings import Settings


async def restore_log(settings: Settings, folder: Path, *, allow_open: bool, replicas: int | None = None) -> Account:
    """Restores into the DATA_DIR, with nothing else running on it, or into the broker at NATS_URL.

    A log with payments that have not ended is refused unless `allow_open`: a processor would charge them, and nothing
    shows whether they were charged after the backup was made. Raises StackError and BrokerError.
    """
    check_archive(folder)
    account = read_account(folder)
    if account is not None and not allow_open:
        _check_ended(account)
    if settings.runs_broker:
        with broker_alone(settings) as url:
            return await _restore_at(BrokerAddress(url), folder, allow_open=allow_open, replicas=replicas)
    if account is None and not allow_open:
        # Processors may be waiting there for a log, and would charge before it could be examined.
        raise BackupError(
            f"{folder} has no {ACCOUNT_FILE} that records whether payments in it are open, and who is connected to that"
            " broker would send them on at once; --allow-open if that is meant"
        )
    return await _restore_at(settings, folder, allow_open=allow_open, replicas=replicas)


async def _restore_at(address: BrokerSettings, folder: Path, *, allow_open: bool, replicas: int | None) -> Account:
    async with broker_for_command(address) as broker:
        last_sequence = await restore(broker, folder, replicas=replicas)
        account = await account_of(broker, 1, last_sequence)
        if not allow_open:
            try:
                _check_ended(account)
            except BackupError:
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
