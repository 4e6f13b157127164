"""`tollgate backup --check`: whether a backup holds what the log held when it was made."""

import asyncio
import tempfile
from pathlib import Path

from tollgate.ops.archived_part import archived_part
from tollgate.ops.backup import Account, check_archive, read_account
from tollgate.ops.errors import BackupError
from tollgate.ops.restore import restore_log
from tollgate.ops.side_stack import SideStack


async def check_backup(folder: Path, archive_dir: Path | None = None) -> Account:
    """Restores the backup to a temporary broker and reads all of it, and what it goes on from in the log's archive.

    Raises BackupError when a file or a message differs from what was backed up, and ArchiveError.
    """
    check_archive(folder)
    archive = await asyncio.to_thread(archived_part, folder, archive_dir)
    expected = read_account(folder)
    with tempfile.TemporaryDirectory(prefix="tollgate-check-") as temporary:
        side = SideStack(Path(temporary) / "data", charges=False)
        found = await restore_log(
            side.settings, folder, allow_open=True, replicas=1, archive=archive, notes_in=Path(temporary)
        )
    if expected is not None and found.unread != expected.unread:
        raise BackupError(
            f"{folder} lacks messages {found.missing or 'none'} of the log, and lacked {expected.missing or 'none'}"
            " when it was made"
        )
    if expected is not None and expected.digest and found.digest != expected.digest:
        raise BackupError(f"{folder} holds other messages than the log that it was made of")
    return found
