"""The bytes of an attempt, and what statuses and records mean. No network here."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.events import PROCESSORS, PaymentRouted
from contract.money import AMOUNT_CENTS_MAX
from contract.timestamps import parse_us
from processor.charging import Charged, Duplicate, Failed, Found, NoAnswer, NotReached, Refused, Unknown
from processor.client import attempt_body, classify, parse_record

PAYMENT = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
ATTEMPT = PaymentRouted(PAYMENT, 1990, 1, "default", 1_750_000_000_000_001, "why")

ATTEMPTS = st.builds(
    PaymentRouted,
    st.uuids().map(str),
    st.integers(1, AMOUNT_CENTS_MAX),
    st.integers(1, 1000),
    st.sampled_from(PROCESSORS),
    st.integers(0, 4_000_000_000_000_000),
    st.text(max_size=20),
)


def meaning(status: int) -> type:
    """The table of the design."""
    if status in (200, 422, 429, 504):
        return {200: Charged, 422: Duplicate, 429: NotReached, 504: Unknown}[status]
    return {4: Refused, 5: Failed}.get(status // 100, Unknown)


@pytest.mark.parametrize("status", range(100, 600))
def test_a_status_means_what_the_table_says(status: int) -> None:
    answer = classify(status)
    assert type(answer) is meaning(status)
    if not isinstance(answer, Charged | Duplicate):
        assert str(status) in str(answer)


def test_only_a_200_is_a_charge() -> None:
    assert [status for status in range(100, 600) if classify(status) == Charged()] == [200]


def test_the_body_of_an_attempt_is_exactly_this() -> None:
    assert attempt_body(ATTEMPT) == (
        b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":19.90,'
        b'"requestedAt":"2025-06-15T15:06:40.000001Z"}'
    )


@given(ATTEMPTS, st.text(max_size=5))
def test_an_attempt_has_the_same_bytes_each_time_whatever_the_reason_for_it(attempt: PaymentRouted, why: str) -> None:
    again = PaymentRouted(
        attempt.correlation_id, attempt.amount_cents, 9, attempt.processor, attempt.requested_at_us, why
    )
    assert attempt_body(attempt) == attempt_body(again)


@given(ATTEMPTS)
def test_the_body_of_an_attempt_holds_the_exact_amount_and_stamp(attempt: PaymentRouted) -> None:
    body = json.loads(attempt_body(attempt), parse_float=Decimal)
    assert body["correlationId"] == attempt.correlation_id
    assert body["amount"] * 100 == attempt.amount_cents
    assert -body["amount"].as_tuple().exponent == 2
    assert parse_us(body["requestedAt"]) == attempt.requested_at_us
    assert set(body) == {"correlationId", "amount", "requestedAt"}


@given(ATTEMPTS)
def test_a_processor_that_gives_back_what_it_was_sent_is_read_exactly(attempt: PaymentRouted) -> None:
    assert parse_record(attempt_body(attempt)) == Found(attempt.amount_cents, attempt.requested_at_us)


@pytest.mark.parametrize("amount", ["19.9", "19.90", "19.900", "1990e-2", "1.99E1"])
@pytest.mark.parametrize(
    "stamp", ["2025-06-15T15:06:40.000001Z", "2025-06-15T15:06:40.000001+00:00", "2025-06-15T17:06:40.000001+02:00"]
)
def test_a_record_is_read_in_every_spelling_of_the_same_thing(amount: str, stamp: str) -> None:
    record = f'{{"correlationId":"{PAYMENT}","amount":{amount},"requestedAt":"{stamp}","more":[1]}}'.encode()
    assert parse_record(record) == Found(1990, 1_750_000_000_000_001)


STAMP = '"requestedAt":"2025-06-15T15:06:40.000001Z"'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"\xff\xfe\xfa",
        b"{}",
        f"{{{STAMP}}}".encode(),
        b'{"amount":19.90}',
        f'{{"amount":"19.90",{STAMP}}}'.encode(),
        f'{{"amount":true,{STAMP}}}'.encode(),
        f'{{"amount":null,{STAMP}}}'.encode(),
        f'{{"amount":[1],{STAMP}}}'.encode(),
        f'{{"amount":NaN,{STAMP}}}'.encode(),
        f'{{"amount":Infinity,{STAMP}}}'.encode(),
        f'{{"amount":0,{STAMP}}}'.encode(),
        f'{{"amount":-19.90,{STAMP}}}'.encode(),
        f'{{"amount":19.905,{STAMP}}}'.encode(),
        f'{{"amount":1e400,{STAMP}}}'.encode(),
        f'{{"amount":1e999999,{STAMP}}}'.encode(),
        f'{{"amount":1e99999999999999999999,{STAMP}}}'.encode(),
        f'{{"amount":1e-2000000,{STAMP}}}'.encode(),
        b'{"amount":19.90,"requestedAt":null}',
        b'{"amount":19.90,"requestedAt":5}',
        b'{"amount":19.90,"requestedAt":[]}',
        b'{"amount":19.90,"requestedAt":{}}',
        b'{"amount":19.90,"requestedAt":"yesterday"}',
        b'{"amount":19.90,"requestedAt":"2025-02-30T00:00:00Z"}',
        b"[" * 60_000,
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
def test_a_record_that_cannot_be_read_teaches_nothing(body: bytes) -> None:
    answer = parse_record(body)
    assert isinstance(answer, NoAnswer)
    assert answer.why


@given(st.binary(max_size=80))
def test_no_bytes_at_all_make_reading_a_record_fail(body: bytes) -> None:
    assert isinstance(parse_record(body), NoAnswer | Found)
