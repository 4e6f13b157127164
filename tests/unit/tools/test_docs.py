"""The generated pages are what the code declares, and the built site loads nothing from other hosts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import orjson
import pytest
from jsonschema import Draft7Validator

from tollgate.contract.events import Event
from tools.docs import asyncapi, command_line_page, logs_page, metrics_page, settings_page
from tools.docs.only_local import foreign_addresses

PROJECT = Path(__file__).parents[3]
REFERENCE = PROJECT / "docs" / "reference"
NAMING = ("services", "qa", "tests", "tools", "caddy", "*.md", "*.conf", "*.yml", "Makefile")
_PAGE = re.compile(r"\bdocs/(?:decisions/\d{4}|[\w/-]+\.(?:md|svg))")
_USER = re.compile(r"^([A-Z]+)_MAY(?:_PURGE)?: \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_LOG_SUBJECT = re.compile(r'"(payments\.[a-z_.*]+)"')
HINT = "run `make docs-generate` and commit what it writes"


def test_the_page_of_settings_is_what_the_code_declares() -> None:
    page = (REFERENCE / "settings.md").read_text()
    assert page == settings_page.with_tables(page), HINT


def test_the_page_of_the_command_line_is_what_the_code_declares() -> None:
    assert (REFERENCE / "command-line.md").read_text() == command_line_page.page(), HINT


def test_the_page_of_logs_is_what_the_code_declares() -> None:
    page = (PROJECT / "docs" / "how-to" / "logs.md").read_text()
    assert page == logs_page.with_tables(page), HINT


def test_the_page_of_metrics_is_what_the_code_declares() -> None:
    assert (REFERENCE / "metrics.md").read_text() == metrics_page.page(), HINT


def test_the_asyncapi_document_is_what_the_code_declares() -> None:
    assert (REFERENCE / "asyncapi.json").read_text() == asyncapi.page(), HINT


def test_the_asyncapi_document_is_valid() -> None:
    schema = orjson.loads((PROJECT / "tests" / "support" / "asyncapi" / "3.0.0.json").read_bytes())
    Draft7Validator(schema).validate(asyncapi.document())
    broken = asyncapi.document()
    broken["operations"]["gateway_sends_requested"]["action"] = "publish"
    assert not Draft7Validator(schema).is_valid(broken)


def test_the_asyncapi_document_has_every_type_of_event_and_the_one_user_that_may_store_it() -> None:
    assert set(asyncapi.WRITERS) == {one.__name__ for one in get_args(Event)}
    may_store = {
        (user.lower(), subject)
        for name in ("nats.conf", "nats-purge.conf")
        for user, block in _USER.findall((PROJECT / name).read_text())
        for subject in _LOG_SUBJECT.findall(block.split("subscribe:")[0])
    }
    assert {(user, asyncapi.subject_of(event)) for event, user in asyncapi.WRITERS.items()} == may_store


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
