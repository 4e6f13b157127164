"""`stack restore`: a backup becomes the log of a broker that has none."""

from pathlib import Path

from contract.stream import STREAM
from runtime.broker import Broker
from runtime.command import broker_for_command
from runtime.errors import BrokerError
from stack.backup import Account, account_of, read_backup, restore
from stack.broker_alone import broker_alone
from stack.credentials import operator_url
from stack.errors import BackupError
from stack.settings import Settings

_DELETE_SECONDS = 10.0


async def restore_log(settings: Settings, folder: Path, *, allow_open: bool, replicas: int | None = None) -> Account:
    """Restores into the DATA_DIR, with nothing else running on it, or into the broker that NATS_URL names.

    A log with payments that have not ended is taken back again unless `allow_open`: a processor would send them on, and
    cannot know whether they were charged after the backup was made. Raises StackError and BrokerError.
    """
    read_backup(folder)
    if not settings.runs_broker:
        return await _restore_at(operator_url(settings), folder, allow_open=allow_open, replicas=replicas)
    with broker_alone(settings) as url:
        return await _restore_at(url, folder, allow_open=allow_open, replicas=replicas)


async def _restore_at(url: str, folder: Path, *, allow_open: bool, replicas: int | None) -> Account:
    async with broker_for_command(url, name="operator") as broker:
        last_sequence = await restore(broker, folder, replicas=replicas)
        account = await account_of(broker, 1, last_sequence)
        if account.open and not allow_open:
            await _delete(broker)
            raise BackupError(
                f"payments of the backup that have not ended: {account.open}, of them in doubt: {account.in_doubt};"
                " a processor would send them on, and cannot know whether they were charged since."
                " Nothing was restored. See docs/replay.md, and --allow-open"
            )
    return account


async def _delete(broker: Broker) -> None:
    answer = await broker.request(f"$JS.API.STREAM.DELETE.{STREAM}", b"", timeout_seconds=_DELETE_SECONDS)
    if "error" in answer:
        raise BrokerError(f"the restored log cannot be deleted again: {answer['error'].get('description')}")
