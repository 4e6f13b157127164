"""Writes the pages that are generated from the code: `make docs-generate`."""

from pathlib import Path

from tools.docs import command_line_page, settings_page

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def main() -> None:
    """Writes both pages in place."""
    settings = REFERENCE / "settings.md"
    settings.write_text(settings_page.with_tables(settings.read_text()))
    (REFERENCE / "command-line.md").write_text(command_line_page.page())


if __name__ == "__main__":
    main()
