"""Events survive encoding as JSON, and invalid payloads are refused."""

from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.contract.event_strategies import BY_KIND, EXAMPLES, events
from tollgate.contract.codec import ATTEMPT_MAX, NUMBER_MAX, VERSION, MalformedEventError, decode, encode
from tollgate.contract.events import Event, PaymentRequested
from tollgate.contract.subjects import MESSAGE_BYTES_MAX

KINDS = list(get_args(Event))
FIELDS = [
    (kind, name) for kind in KINDS for name in orjson.loads(encode(EXAMPLES[kind])) if name not in ("type", "version")
]
WHOLE_NUMBERS = ("amountCents", "attempt")


def fields_of(kind: type[Event]) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(encode(EXAMPLES[kind]))
    return fields


def test_the_examples_cover_every_kind_of_event() -> None:
    assert set(BY_KIND) == set(EXAMPLES) == set(KINDS)


@given(events)
def test_an_event_survives_encoding(event: Event) -> None:
    assert decode(encode(event)) == event


@given(events)
def test_an_event_fits_into_the_largest_message_and_names_its_type_and_version(event: Event) -> None:
    payload = encode(event)
    fields = orjson.loads(payload)
    assert len(payload) < 1024 <= MESSAGE_BYTES_MAX
    assert (fields["type"], fields["version"]) == (type(event).__name__, VERSION)


@given(events, st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-5, 5) | st.none()))
def test_unknown_fields_are_ignored(event: Event, more: dict[str, Any]) -> None:
    assert decode(orjson.dumps({**more, **orjson.loads(encode(event))})) == event


@pytest.mark.parametrize("version", [2, -1, "1", None, [1], {}, True, 1.5])
@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_version_is_refused(kind: type[Event], version: object) -> None:
    with pytest.raises(MalformedEventError, match="version"):
        decode(orjson.dumps({**fields_of(kind), "version": version}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_version_is_refused(kind: type[Event]) -> None:
    fields = fields_of(kind)
    del fields["version"]
    with pytest.raises(MalformedEventError, match="version None"):
        decode(orjson.dumps(fields))


@pytest.mark.parametrize("name", ["", "PaymentLost", "paymentrequested", None, 1, [], {}])
def test_an_unknown_type_is_refused(name: object) -> None:
    with pytest.raises(MalformedEventError, match="type"):
        decode(orjson.dumps({**fields_of(KINDS[0]), "type": name}))


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"null", b"[]", b"7", b'"PaymentRequested"', b"\xff", b'{"version":NaN}']
)
def test_a_payload_that_is_no_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedEventError, match="JSON"):
        decode(payload)


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_missing_field_is_refused_by_its_name(kind: type[Event], name: str) -> None:
    fields = fields_of(kind)
    del fields[name]
    with pytest.raises(MalformedEventError, match=f"'{name}' is missing"):
        decode(orjson.dumps(fields))


@pytest.mark.parametrize("value", [None, 1.5, True, [], {}], ids=repr)
@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_of_another_type_is_refused_by_its_name(kind: type[Event], name: str, value: object) -> None:
    with pytest.raises(MalformedEventError, match=name):
        decode(orjson.dumps({**fields_of(kind), name: value}))


@pytest.mark.parametrize(
    "value", [19.0, 19.9, "1990", "19.90", True, False, None, 0, -1, -1990, [1990], 1e30], ids=repr
)
@pytest.mark.parametrize(("kind", "name"), [one for one in FIELDS if one[1] in WHOLE_NUMBERS])
def test_only_a_whole_number_above_zero_becomes_money_or_an_attempt(
    kind: type[Event], name: str, value: object
) -> None:
    with pytest.raises(MalformedEventError, match=name):
        decode(orjson.dumps({**fields_of(kind), name: value}))


@pytest.mark.parametrize(("kind", "name"), [one for one in FIELDS if one[1] in WHOLE_NUMBERS])
def test_a_number_that_the_read_model_cannot_hold_is_refused(kind: type[Event], name: str) -> None:
    largest = {"amountCents": NUMBER_MAX, "attempt": ATTEMPT_MAX}[name]
    assert decode(orjson.dumps({**fields_of(kind), name: largest}))
    with pytest.raises(MalformedEventError, match=name):
        decode(orjson.dumps({**fields_of(kind), name: largest + 1}))


@pytest.mark.parametrize("value", ["", "Default", "both", "default ", 0])
@pytest.mark.parametrize("kind", [kind for kind, name in FIELDS if name == "processor"])
def test_an_unknown_provider_is_refused(kind: type[Event], value: object) -> None:
    with pytest.raises(MalformedEventError, match="processor"):
        decode(orjson.dumps({**fields_of(kind), "processor": value}))


@pytest.mark.parametrize("value", ["", "yesterday", "2026-02-30T00:00:00Z", "2026-01-31", 1750000000])
@pytest.mark.parametrize(("kind", "name"), [one for one in FIELDS if one[1].endswith("At")])
def test_a_time_that_cannot_be_read_is_refused(kind: type[Event], name: str, value: object) -> None:
    with pytest.raises(MalformedEventError):
        decode(orjson.dumps({**fields_of(kind), name: value}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(KINDS), st.data())
def test_any_value_of_a_field_is_decoded_or_refused(kind: type[Event], data: st.DataObject) -> None:
    fields = fields_of(kind)
    fields[data.draw(st.sampled_from(list(fields)))] = data.draw(JSON)
    try:
        event = decode(orjson.dumps(fields))
    except MalformedEventError as error:
        assert str(error)  # noqa: PT017 - that it is this error, or none, is the promise
    else:
        assert decode(encode(event)) == event


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_raise_the_documented_error(payload: bytes) -> None:
    with pytest.raises(MalformedEventError):
        decode(payload)


@pytest.mark.parametrize(
    "correlation_id", ["", "x", "4A7901B8-7D26-4D9D-AA19-4DC1C7CF60B3", "4a7901b87d264d9daa194dc1c7cf60b3"]
)
def test_an_id_that_is_no_uuid_in_lower_case_is_refused(correlation_id: str) -> None:
    fields = orjson.loads(encode(PaymentRequested("4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3", 1, 0)))
    with pytest.raises(MalformedEventError, match="correlationId"):
        decode(orjson.dumps({**fields, "correlationId": correlation_id}))
