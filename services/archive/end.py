"""Where the archive ends, from its last manifest alone, and whether the stream goes on from there."""

from dataclasses import dataclass
from pathlib import Path

from tollgate.archive.errors import ArchiveError
from tollgate.archive.folder import read_identities, read_stretch, stretch_names
from tollgate.contract.log_mark import LogState
from tollgate.contract.read_model_api import ArchiveEnd


@dataclass(frozen=True, slots=True)
class ArchiveView:
    """What is archived, or why that cannot be found out; `end` is None while nothing is."""

    end: ArchiveEnd | None = None
    fault: str | None = None


def archive_end(folder: Path) -> ArchiveEnd | None:
    """The ends of the archive; None while nothing is archived. Raises ArchiveError. Blocks.

    It reads the names and the last manifest: `open_archive` follows the chain.
    """
    names = stretch_names(folder)
    if not names:
        return None
    last = read_stretch(folder / names[-1])
    manifest = last.manifest
    return ArchiveEnd(manifest.log_identity, int(names[0]), manifest.last_sequence, len(names), last.digest)


def view_of_archive(folder: Path | None, log: LogState, *, purged_at: int, missing_accepted: int = 0) -> ArchiveView:
    """The archive's end, and what of the log is neither there nor in the stream. Blocks.

    What was before a purge of the ledger at `purged_at` is void. `missing_accepted` is how many missing messages an
    operator has accepted.
    """
    try:
        end = None if folder is None else archive_end(folder)
        identities = () if folder is None else read_identities(folder)
    except ArchiveError as error:
        return ArchiveView(fault=str(error))
    if end is not None and log.identity not in {end.log_identity, *identities}:
        return ArchiveView(end, f"{folder} is the archive of another log than the broker's")
    archived = 0 if end is None else end.last_sequence
    if log.first_sequence <= max(archived + 1, purged_at) or log.first_sequence - archived - 1 <= missing_accepted:
        return ArchiveView(end)
    missing = f"messages {archived + 1} to {log.first_sequence - 1} have left the log"
    where = "ARCHIVE_DIR of the projector is not set" if folder is None else f"are not in the archive {folder}"
    return ArchiveView(end, f"{missing}, and {where}")
