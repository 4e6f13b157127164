"""The generated pages are what the code declares, and the built site loads nothing from other hosts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.docs import command_line_page, settings_page
from tools.docs.only_local import foreign_addresses

PROJECT = Path(__file__).parents[3]
REFERENCE = PROJECT / "docs" / "reference"
NAMING = ("services", "qa", "tests", "tools", "caddy", "*.md", "*.conf", "*.yml", "Makefile")
_PAGE = re.compile(r"\bdocs/(?:decisions/\d{4}|[\w/-]+\.(?:md|svg))")
HINT = "run `make docs-generate` and commit what it writes"


def test_the_page_of_settings_is_what_the_code_declares() -> None:
    page = (REFERENCE / "settings.md").read_text()
    assert page == settings_page.with_tables(page), HINT


def test_the_page_of_the_command_line_is_what_the_code_declares() -> None:
    assert (REFERENCE / "command-line.md").read_text() == command_line_page.page(), HINT


def _named_pages() -> Iterator[tuple[Path, str]]:
    for pattern in NAMING:
        for path in PROJECT.glob(pattern):
            files = path.rglob("*") if path.is_dir() else [path]
            for file in files:
                if file.is_file() and file.suffix != ".pyc":
                    yield from ((file, page) for page in _PAGE.findall(file.read_text(errors="replace")))


def test_every_page_that_is_named_outside_of_the_site_exists() -> None:
    named = list(_named_pages())
    assert len(named) > 50
    missing = {f"{file.relative_to(PROJECT)}: {page}" for file, page in named if not list(PROJECT.glob(f"{page}*"))}
    assert not missing


def test_a_page_of_settings_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="projector verify"):
        settings_page.with_tables("# Settings\n")


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', ["https://cdn.example.org/a.js"]),
        ('<link rel="preconnect" href="//fonts.example.org">', ["//fonts.example.org"]),
        ('<link rel="stylesheet" href="https://example.org/a.css">', ["https://example.org/a.css"]),
        ('<img src="http://example.org/a.png">', ["http://example.org/a.png"]),
        ('<a href="https://example.org/">a link</a><script src="assets/a.js"></script>', []),
        ('<link rel="canonical" href="https://example.org/"><img src="data:image/png;base64,">', []),
    ],
)
def test_addresses_that_a_browser_loads_by_itself_are_found(html: str, found: list[str]) -> None:
    assert foreign_addresses(html) == found
