"""Writes the pages that are generated from the code: `make docs-generate`."""

from pathlib import Path

from tools.docs import asyncapi, command_line_page, logs_page, metrics_page, settings_page

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def main() -> None:
    """Writes them in place."""
    settings = REFERENCE / "settings.md"
    settings.write_text(settings_page.with_tables(settings.read_text()))
    logs = REFERENCE.parent / "how-to" / "logs.md"
    logs.write_text(logs_page.with_tables(logs.read_text()))
    (REFERENCE / "command-line.md").write_text(command_line_page.page())
    (REFERENCE / "metrics.md").write_text(metrics_page.page())
    (REFERENCE / "asyncapi.json").write_text(asyncapi.page())


if __name__ == "__main__":
    main()
