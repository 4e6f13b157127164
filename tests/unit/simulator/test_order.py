import json
from typing import Any

import pytest

from tollgate.simulator.order import MalformedError, Order, correlation_id_of, key_from, order_from

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
VALID = {"correlationId": ID, "amount": 19.90, "requestedAt": "1970-01-01T00:00:01.5Z"}


def test_an_order_carries_key_cents_and_microseconds() -> None:
    assert order_from(json.dumps(VALID).encode()) == Order(bytes.fromhex(ID.replace("-", "")), 1990, 1_500_000)


def test_the_case_of_a_correlation_id_does_not_matter() -> None:
    assert key_from(ID.upper()) == key_from(ID)
    assert correlation_id_of(key_from(ID.upper())) == ID


def test_unknown_fields_are_ignored() -> None:
    assert order_from(json.dumps({**VALID, "note": "x"}).encode()).amount_cents == 1990


@pytest.mark.parametrize(
    "correlation_id",
    [None, 7, "", ID.replace("-", ""), f"{{{ID}}}", ID[:-1], ID[:-1] + "g", ID[:-2] + "  ", "é" + ID[1:], "-" * 36],
)
def test_what_is_no_uuid_is_refused(correlation_id: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        key_from(correlation_id)


@pytest.mark.parametrize("field", sorted(VALID))
def test_each_field_is_needed(field: str) -> None:
    fields: dict[str, Any] = {**VALID}
    del fields[field]
    with pytest.raises(MalformedError, match=f"{field} is missing"):
        order_from(json.dumps(fields).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"7", b'"text"', b"\xff", b'{"amount":NaN}'])
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        order_from(body)


@pytest.mark.parametrize(
    "change", [{"correlationId": "x"}, {"amount": -1}, {"requestedAt": "x"}, {"requestedAt": None}]
)
def test_one_bad_field_makes_the_order_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        order_from(json.dumps({**VALID, **change}).encode())
