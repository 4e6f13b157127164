"""What the last run of `tollgate archive` came to: a file in the archive's folder, for whoever has to be told."""

from dataclasses import dataclass
from pathlib import Path

from tollgate.runtime.records import read_record, replace_record

LAST_RUN_FILE = "last-run.json"


@dataclass(frozen=True, slots=True)
class LastRun:
    """`error` is None after a success. `interval_seconds` is that of `--every`, None for a single run."""

    ended_at_us: int
    succeeded_at_us: int | None
    error: str | None
    interval_seconds: float | None


def read_last_run(folder: Path) -> LastRun | None:
    """The last run that was recorded in the folder; None if none was, or the record cannot be used. Blocks."""
    return read_record(LastRun, folder / LAST_RUN_FILE)


def record_run(folder: Path, *, ended_at_us: int, error: str | None, interval_seconds: float | None) -> None:
    """Records a run that has ended. If it cannot be written, the age of the last success shows that. Blocks."""
    earlier = read_last_run(folder)
    succeeded_at_us = ended_at_us if error is None else earlier.succeeded_at_us if earlier is not None else None
    record = LastRun(ended_at_us, succeeded_at_us, error, interval_seconds)
    replace_record(folder / LAST_RUN_FILE, record)
