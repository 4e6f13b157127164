"""`projector query`: runs an operator's SQL on the read model; it can read the tables and do nothing else.

It never runs inside the projector, and the connection has no access to files, network or extensions.
"""

import csv
import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from threading import Timer
from typing import Any
from uuid import UUID

import click
import duckdb
import orjson

from tollgate.messaging.operator_command import CommandError
from tollgate.projector.read.readonly import first_line, make_views, model_file, open_read_only
from tollgate.projector.settings import Settings

READING_STATEMENTS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


@dataclass(frozen=True, slots=True)
class Rows:
    """A result; `is_cut` when there were more rows than the limit."""

    columns: list[str]
    values: list[tuple[Any, ...]]
    is_cut: bool


async def show_query(settings: Settings, sql: str, *, form: str, rows_max: int, seconds_max: float) -> int:
    """Prints the result. Returns the exit status. Raises CommandError when the SQL cannot be run."""
    async with model_file(settings) as model:
        rows = run_query(model.path, sql, rows_max=rows_max, seconds_max=seconds_max)
        click.echo(FORMS[form](rows), nl=False)
        if rows.is_cut:
            click.echo(f"cut after {rows_max} rows; --rows-max shows more", err=True)
    return 0


def run_query(path: Path, sql: str, *, rows_max: int, seconds_max: float) -> Rows:
    """Runs one read-only statement. Raises CommandError."""
    _check(sql)
    with closing(locked_connection(path)) as connection:
        alarm = Timer(seconds_max, connection.interrupt)
        alarm.start()
        try:
            result = connection.execute(sql)
            columns = [one[0] for one in result.description or ()]
            values = result.fetchmany(rows_max + 1)
        except duckdb.InterruptException:
            raise CommandError(f"the query took longer than {seconds_max:g} s (--seconds-max)") from None
        except duckdb.Error as error:
            raise CommandError(_explain(error)) from None
        finally:
            alarm.cancel()
    return Rows(columns, values[:rows_max], is_cut=len(values) > rows_max)


def locked_connection(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection that can read only this file; its settings are locked."""
    connection = open_read_only(path)
    make_views(connection)
    for setting, value in (
        ("autoinstall_known_extensions", "false"),
        ("autoload_known_extensions", "false"),
        ("allow_community_extensions", "false"),
        # Otherwise DuckDB would resolve an unknown table name to a Python variable.
        ("python_enable_replacements", "false"),
        ("enable_external_access", "false"),
        ("lock_configuration", "true"),
    ):
        connection.execute(f"SET {setting} = {value}")
    return connection


def as_table(rows: Rows) -> str:
    """A table with columns as wide as their values, numbers aligned right."""
    texts = [[_text(value) for value in row] for row in rows.values]
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(rows.columns)]
    is_number = [
        all(isinstance(row[i], int | float | Decimal | None) for row in rows.values) for i in range(len(rows.columns))
    ]

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, is_number, strict=True)
        )
        return "  ".join(aligned).rstrip()

    return "\n".join([line(rows.columns), line(["-" * width for width in widths]), *map(line, texts)]) + "\n"


def as_csv(rows: Rows) -> str:
    """CSV with a header; NULL is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows([_text(value) for value in row] for row in rows.values)
    return text.getvalue()


def as_json(rows: Rows) -> str:
    """One JSON object a line; decimals keep their decimal places."""
    return "".join(
        orjson.dumps(
            dict(zip(rows.columns, row, strict=True)),
            default=_jsonable,
            option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATETIME,
        ).decode()
        for row in rows.values
    )


FORMS = {"table": as_table, "csv": as_csv, "json": as_json}


def _check(sql: str) -> None:
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise CommandError(_explain(error)) from None
    if len(statements) != 1 or statements[0].type not in READING_STATEMENTS:
        raise CommandError("only one read-only statement is allowed: SELECT or EXPLAIN")


def _explain(error: Exception) -> str:
    if "pytz" in str(error):
        return "a time with a zone cannot be shown; cast it to TIMESTAMP (all times are in UTC)"
    return first_line(error)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(timespec="microseconds") + "Z"
        case _:
            return str(value)


def _jsonable(value: object) -> object:
    match value:
        case Decimal():
            return orjson.Fragment(format(value, "f"))
        case datetime() | UUID():
            return _text(value)
        case _:
            return str(value)
