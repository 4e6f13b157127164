"""The archive that a backup goes on from: checked, and no longer than the backup."""

from pathlib import Path

from tollgate.archive.folder import Archive, open_archive, set_aside
from tollgate.ops.backup import read_account, read_backup
from tollgate.ops.errors import BackupError


def archived_part(backup: Path, archive_dir: Path | None) -> Archive | None:
    """The stretches of the archive up to the backup's end, every byte of them read and checked; None without a folder.

    Stretches after the backup's end are left out: the backup holds what comes before them. Raises BackupError when
    backup and archive are not parts of one log, and ArchiveError. Blocks.
    """
    meta, _ = read_backup(backup)
    first, last = meta["state"]["first_seq"], meta["state"]["last_seq"]
    account = read_account(backup)
    made_beside = None if account is None else account.archive
    if archive_dir is None:
        if made_beside is not None and first > made_beside.first_sequence:
            raise BackupError(
                f"{backup} begins at {first} of the log, and what is before it is in the archive with the head"
                f" {made_beside.head}: set ARCHIVE_DIR to it"
            )
        return None
    archive = open_archive(archive_dir).up_to(last)
    archive.check()
    if made_beside is None:
        if archive.stretches and first > archive.last_sequence:
            raise BackupError(f"nothing in {backup} shows that {archive_dir} is its archive: they share no message")
        return archive
    if made_beside.head not in {one.digest for one in archive.stretches}:
        raise BackupError(
            f"{archive_dir} is not the archive beside which {backup} was made, or lacks its end: no stretch up to"
            f" {made_beside.last_sequence} has the head {made_beside.head}"
        )
    return archive


def set_later_aside(backup: Path, archive_dir: Path, *, allowed: bool) -> Path | None:
    """Moves the stretches that are later than the backup out of the archive. Returns where; None if there are none.

    Raises BackupError when that is not `allowed`: what they hold is nowhere else. Blocks.
    """
    meta, _ = read_backup(backup)
    last = int(meta["state"]["last_seq"])
    archive = open_archive(archive_dir)
    if archive.last_sequence <= last:
        return None
    if not allowed:
        raise BackupError(
            f"{archive_dir} ends at {archive.last_sequence}, and {backup} at {last}: what was archived later is in no"
            " backup. Restore a later backup, or set those stretches aside with --set-aside-later"
            " (docs/how-to/archive.md)"
        )
    return set_aside(archive, last)


def linked(archive: Archive, folder: Path) -> Path:
    """A folder with links to the stretches, to be read as an archive of its own. Blocks."""
    folder.mkdir(parents=True)
    for one in archive.stretches:
        path = archive.path_of(one.manifest)
        (folder / path.name).symlink_to(path.absolute(), target_is_directory=True)
    return folder
