"""The JSON schemas match the codec: encoded events are valid, and refused ones are not."""

import json
from dataclasses import fields as fields_of
from datetime import datetime
from importlib import resources
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from tests.unit.contract.event_strategies import EXAMPLES, events
from tollgate.contract.codec import MalformedEventError, decode, encode
from tollgate.contract.events import (
    PROVIDERS,
    Event,
    ManualResolution,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
)
from tollgate.contract.subjects import subject_of

KINDS = list(get_args(Event))


# jsonschema checks "uuid" by itself, and "date-time" only with a further library.
def is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


checker = FormatChecker(["uuid"])
checker.checks("date-time", raises=ValueError)(is_date_time)

SCHEMAS = {
    path.name.removesuffix(".json"): json.loads(path.read_text())
    for path in resources.files("tollgate.contract").joinpath("schemas").iterdir()
    if path.is_file()
}
VALIDATORS = {name: Draft202012Validator(schema, format_checker=checker) for name, schema in SCHEMAS.items()}


OPTIONAL: dict[type[Event], set[str]] = {
    PaymentInDoubt: {"operatorWord", "requestSequence"},
    PaymentReleased: {"operatorWord"},
    PaymentProcessed: {"operatorWord"},
    PaymentRejected: {"attempt"},
}


def is_valid(kind: type[Event], fields: Any) -> bool:
    return bool(VALIDATORS[kind.__name__].is_valid(fields))


def test_there_is_a_schema_for_every_event_and_for_nothing_else() -> None:
    assert sorted(SCHEMAS) == sorted(kind.__name__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_valid_and_names_its_event(kind: type[Event]) -> None:
    schema = SCHEMAS[kind.__name__]
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == kind.__name__ == schema["properties"]["type"]["const"]
    assert schema["additionalProperties"] is True
    assert set(schema["required"]) == set(schema["properties"]) - OPTIONAL.get(kind, set())


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_names_the_fields_that_are_written_and_the_subject(kind: type[Event]) -> None:
    schema = SCHEMAS[kind.__name__]
    written = list(orjson.loads(encode(EXAMPLES[kind])))
    assert [name for name in schema["properties"] if name not in OPTIONAL.get(kind, set())] == written
    subject = subject_of(EXAMPLES[kind])
    for provider in PROVIDERS:
        subject = subject.replace(f".{provider}", ".<processor>")
    assert schema["description"].endswith(f"Subject {subject}.")
    assert all(
        "description" in field for name, field in schema["properties"].items() if name not in ("type", "version")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_has_one_property_for_each_field_of_the_event(kind: type[Event]) -> None:
    # The names differ (`provider` is `processor` on the wire), and an optional field is absent from most events.
    properties = SCHEMAS[kind.__name__]["properties"].keys() - {"type", "version"}
    assert len(properties) == len(fields_of(kind))


@given(events)
def test_every_event_that_is_written_obeys_its_schema_and_no_other(event: Event) -> None:
    fields = orjson.loads(encode(event))
    assert [name for name, validator in VALIDATORS.items() if validator.is_valid(fields)] == [type(event).__name__]


@given(events, st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-5, 5)))
def test_further_fields_are_allowed(event: Event, more: dict[str, int]) -> None:
    assert is_valid(type(event), {**more, **orjson.loads(encode(event))})


RESOLUTION = {"by": "someone", "note": "seen", "saidAt": "2026-01-31T12:00:00.000001Z"}


@pytest.mark.parametrize("kind", [kind for kind, names in OPTIONAL.items() if "operatorWord" in names])
def test_a_manual_resolution_is_complete_or_refused(kind: type[Event]) -> None:
    fields = orjson.loads(encode(EXAMPLES[kind]))
    event: Any = decode(orjson.dumps({**fields, "operatorWord": RESOLUTION}))
    assert event.resolution == ManualResolution("someone", "seen", 1_769_860_800_000_001)
    assert is_valid(kind, {**fields, "operatorWord": RESOLUTION})
    broken: list[Any] = [None, "someone", [], {}, *({**RESOLUTION, name: 7} for name in RESOLUTION)]
    broken += [{name: value for name, value in RESOLUTION.items() if name != left_out} for left_out in RESOLUTION]
    for resolution in broken:
        assert not is_valid(kind, {**fields, "operatorWord": resolution})
        with pytest.raises(MalformedEventError):
            decode(orjson.dumps({**fields, "operatorWord": resolution}))


BAD_VALUES: list[Any] = [None, True, False, 0, -1, 1.5, "", "x", [], {}, "2026-02-30T00:00:00.000000Z", "1990"]
CASES = [(kind, name, value) for kind in KINDS for name in orjson.loads(encode(EXAMPLES[kind])) for value in BAD_VALUES]


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_what_the_decoder_refuses_breaks_the_schema(kind: type[Event], name: str, value: object) -> None:
    fields = {**orjson.loads(encode(EXAMPLES[kind])), name: value}
    try:
        decode(orjson.dumps(fields))
    except MalformedEventError:
        assert not is_valid(kind, fields)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in orjson.loads(encode(EXAMPLES[kind]))]
)
def test_an_event_without_a_required_field_breaks_the_schema(kind: type[Event], name: str) -> None:
    fields = orjson.loads(encode(EXAMPLES[kind]))
    del fields[name]
    assert not is_valid(kind, fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("correlationId", "4A7901B8-7D26-4D9D-AA19-4DC1C7CF60B3"),
        ("correlationId", "4a7901b87d264d9daa194dc1c7cf60b3"),
        ("correlationId", "not a uuid"),
        ("acceptedAt", "2026-01-31T12:00:00Z"),
        ("acceptedAt", "2026-01-31T12:00:00.000001"),
        ("acceptedAt", "2026-01-31T12:00:00.000001+00:00"),
        ("acceptedAt", "2026-01-31 12:00:00.000001Z"),
    ],
)
def test_a_schema_allows_one_spelling_only(name: str, value: str) -> None:
    kind = KINDS[0]
    assert not is_valid(kind, {**orjson.loads(encode(EXAMPLES[kind])), name: value})
