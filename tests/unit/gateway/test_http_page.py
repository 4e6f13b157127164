"""docs/reference/http.md and the OpenAPI document describe the same paths, statuses, parameters, headers and fields."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest
from blacksheep.server.openapi.common import ResponseInfo

from tollgate.gateway.openapi import OPERATIONS, SCHEMAS, PaymentBody

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "http.md").read_text()
SECTIONS = {title.strip(): text for title, _, text in (one.partition("\n") for one in PAGE.split("\n## ")[1:])}
OPERATION_BY_TITLE = {
    "`POST /payments`": "post_payment",
    "`GET /payments/{correlationId}`": "get_payment",
    "`GET /payments-summary`": "get_summary",
    "`POST /purge-payments`": "purge",
}
HEALTH = {"get_livez", "get_healthcheck", "get_startedz", "get_readyz"}


def statuses(*operations: str) -> set[int]:
    return {int(status) for name in operations for status in OPERATIONS[name].responses or {}}


def statuses_in(text: str) -> set[int]:
    return {int(one) for one in re.findall(r"\b([2-5]\d\d)\b", text)}


def first_cells(text: str) -> set[str]:
    """What the tables of a section name in their first columns."""
    return {name for cell in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`(.+?)`", cell)}


def test_the_page_has_every_operation() -> None:
    assert set(OPERATION_BY_TITLE) | {"Health"} == SECTIONS.keys()
    assert set(OPERATION_BY_TITLE.values()) | HEALTH == OPERATIONS.keys()


@pytest.mark.parametrize(("title", "operation"), OPERATION_BY_TITLE.items())
def test_a_section_has_the_statuses_of_the_openapi_document(title: str, operation: str) -> None:
    named = statuses_in(SECTIONS[title])
    # A section need not name a plain 200.
    assert named | {HTTPStatus.OK} == statuses(operation) | {HTTPStatus.OK}


def test_the_section_on_health_has_the_paths_and_statuses_of_the_openapi_document() -> None:
    assert first_cells(SECTIONS["Health"]) == {f"/{name.removeprefix('get_')}" for name in HEALTH}
    assert statuses_in(SECTIONS["Health"]) == statuses(*HEALTH)


def test_the_fields_of_a_payment_are_those_of_the_openapi_document() -> None:
    fields = SCHEMAS[PaymentBody]["properties"]
    section = SECTIONS["`GET /payments/{correlationId}`"]
    assert first_cells(section) == fields.keys() - {"correlationId"}
    for name in (*fields["state"]["enum"], *fields["doubt"]["properties"]):
        assert f"`{name}`" in section, name


def test_the_parameters_and_headers_of_a_summary_are_those_of_the_openapi_document() -> None:
    section, operation = SECTIONS["`GET /payments-summary`"], OPERATIONS["get_summary"]
    for name in operation.parameters or {}:
        assert f"`{name}`" in section, name
    answer = (operation.responses or {})[200]
    assert isinstance(answer, ResponseInfo)
    assert first_cells(section) == (answer.headers or {}).keys()
