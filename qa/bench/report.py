"""The results as a table and as JSON."""

import json
from pathlib import Path

import click

Figures = dict[str, float | int | str]


def publish(title: str, rows: list[Figures], path: Path | None) -> None:
    """Prints the rows as a table, and writes them to `path` when that is given."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_text(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(names))]
    click.echo(title)
    for line in lines:
        click.echo("  " + "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"title": title, "rows": rows}, indent=2) + "\n")


def quantile(values: list[float], share: float) -> float:
    """The value that the given share of the values does not exceed; 0 for no values."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def _text(value: float | str) -> str:
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
