"""The encoding of the health record, and the decoding of any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.health_bucket import RECORD_BYTES_MAX
from tollgate.processor.health.record import PROVIDERS, UNREADABLE, Record, decode_record, encode_record
from tollgate.processor.health.report import Health

HEALTH = st.builds(Health, st.booleans(), st.integers(0, 3_600_000).map(lambda milliseconds: milliseconds / 1000))
RECORDS = st.builds(
    Record,
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40),
    st.integers(0, 2**53),
    st.dictionaries(st.sampled_from(PROVIDERS), st.none() | HEALTH),
)


@given(RECORDS)
def test_a_record_is_read_as_it_was_written_and_is_small(record: Record) -> None:
    payload = encode_record(record)
    assert decode_record(payload) == record
    assert len(payload) < RECORD_BYTES_MAX


def test_a_record_can_be_read_by_a_person() -> None:
    record = Record("host-17-a1b2c3", 4, {"default": Health(True, 0.1), "fallback": None})
    assert encode_record(record) == (
        b'{"holder":"host-17-a1b2c3","round":4,'
        b'"answers":{"default":{"failing":true,"minResponseTime":100.0},"fallback":null}}'
    )


@given(st.binary())
def test_any_bytes_in_the_bucket_are_decoded(payload: bytes) -> None:
    assert decode_record(payload) == UNREADABLE


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'{"holder":1,"round":1,"answers":{}}',
        b'{"holder":"x","round":true,"answers":{}}',
        b'{"holder":"x","round":1}',
        b'{"holder":"x","round":1,"answers":7}',
        b'{"holder":"x","round":1,"answers":{"default":{"failing":0,"minResponseTime":1}}}',
    ],
)
def test_an_invalid_record_is_decoded_as_unreadable(payload: bytes) -> None:
    assert decode_record(payload) == UNREADABLE


def test_an_unknown_field_is_ignored() -> None:
    payload = b'{"holder":"x","round":1,"answers":{"default":null,"third":null},"since":"yesterday"}'
    assert decode_record(payload) == Record("x", 1, {"default": None})


def test_a_round_is_finished_when_every_call_has_ended_with_an_answer_or_without() -> None:
    record = Record("x", 1)
    assert not record.is_finished
    for provider in PROVIDERS:
        assert not record.is_finished
        record = record.with_answer(provider, None)
    assert record.is_finished
