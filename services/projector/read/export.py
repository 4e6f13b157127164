"""`projector export`: writes payments to Parquet or CSV."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import click
import duckdb

from tollgate.messaging.operator_command import CommandError
from tollgate.projector.read.readonly import first_line, make_views, model_file, open_read_only
from tollgate.projector.settings import Settings

TABLES = {"settled": "settled_payments", "rejected": "rejected_payments"}
_OPTIONS = {"parquet": "(FORMAT parquet, COMPRESSION zstd)", "csv": "(FORMAT csv, HEADER)"}
_BIGINT_MIN, _BIGINT_MAX = -(2**63), 2**63 - 1

_SETTLED = """
SELECT correlation_id, processor, amount, {requested_at} AS requested_at, {processed_at} AS processed_at, attempt,
       processed_sequence
FROM settled_payments
WHERE epoch_us(requested_at) BETWEEN {from_us} AND {to_us}
ORDER BY requested_at, processed_sequence, correlation_id
"""
_REJECTED = "SELECT * FROM rejected_payments ORDER BY rejected_sequence, correlation_id"
_TIME = {"parquet": "{0}::TIMESTAMPTZ", "csv": "strftime({0}, '%Y-%m-%dT%H:%M:%S.%fZ')"}


async def export(
    settings: Settings, table: str, out: Path, *, form: str, from_us: int | None, to_us: int | None, force: bool
) -> int:
    """Writes the file. Returns the exit status. Raises CommandError."""
    if table == "rejected" and not (from_us is None and to_us is None):
        raise CommandError("rejected payments have no charge time, so they cannot be selected by time")
    _check(out, force=force)
    async with model_file(settings) as model:
        with new_file(out, force=force) as temporary, closing(open_read_only(model.path)) as connection:
            make_views(connection)
            rows = _copy(connection, select(table, form, from_us, to_us), temporary, form)
        position = model.position
    click.echo(f"{rows} {table} payments as of position {position} in {out}")
    return 0


def select(table: str, form: str, from_us: int | None, to_us: int | None) -> str:
    """The query for the rows; both bounds are inclusive, and compared with `requested_at`."""
    if table == "rejected":
        return _REJECTED
    times = {name: _TIME[form].format(name) for name in ("requested_at", "processed_at")}
    bounds = {"from_us": _BIGINT_MIN if from_us is None else from_us, "to_us": _BIGINT_MAX if to_us is None else to_us}
    return _SETTLED.format(**times, **bounds)


@contextmanager
def new_file(out: Path, *, force: bool) -> Iterator[Path]:
    """A temporary path beside `out`; renamed to `out` on success, removed otherwise. Raises CommandError."""
    temporary = out.with_name(f".{out.name}.{uuid4().hex}.new")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if force:
            temporary.replace(out)
        else:
            # Unlike a rename, a link never replaces a file that was created meanwhile.
            out.hardlink_to(temporary)
    except FileExistsError:
        raise _exists(out) from None
    finally:
        temporary.unlink(missing_ok=True)


def _check(out: Path, *, force: bool) -> None:
    if not out.parent.is_dir():
        raise CommandError(f"there is no folder {out.parent}")
    if out.is_dir():
        raise CommandError(f"{out} is a folder")
    if out.exists() and not force:
        raise _exists(out)


def _exists(out: Path) -> CommandError:
    return CommandError(f"{out} exists; --force overwrites it")


def _copy(connection: duckdb.DuckDBPyConnection, rows: str, path: Path, form: str) -> int:
    target = str(path).replace("'", "''")
    try:
        return int(connection.execute(f"COPY ({rows}) TO '{target}' {_OPTIONS[form]}").fetchall()[0][0])
    except duckdb.Error as error:
        raise CommandError(f"{path.parent} cannot be written to: {first_line(error)}") from None
