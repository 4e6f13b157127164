import uuid

import pytest

from tollgate.contract.known_ids import (
    KNOWN_EVENTS_MAX,
    KNOWN_IDS_MAX,
    Known,
    KnownPayment,
    KnownQuestion,
    decode_known,
    decode_known_question,
    encode_known,
    encode_known_question,
)
from tollgate.contract.subjects import MESSAGE_BYTES_MAX

BROKER_BYTES_MAX = 128 * 1024
"""`max_payload` in nats.conf."""


def ids(count: int) -> list[str]:
    return [str(uuid.UUID(int=number + 2**127)) for number in range(count)]


@pytest.mark.parametrize("up_to", [None, 0, 17])
def test_a_question_is_read_as_it_was_written(up_to: int | None) -> None:
    question = KnownQuestion(ids(3), up_to)
    assert decode_known_question(encode_known_question(question)) == question


def test_an_answer_is_read_as_it_was_written() -> None:
    payments = {
        "open": KnownPayment(3, 1990),
        "routed": KnownPayment(3, 1990, events=(6, 8)),
        "routed often": KnownPayment(3, 1990, events=None),
        "processed": KnownPayment(4, 1, "processed", 9, "fallback"),
        "rejected": KnownPayment(5, 2, "rejected", 10),
    }
    assert decode_known(encode_known(Known(11, payments))) == Known(11, payments)


def test_the_largest_question_and_answer_are_far_under_the_brokers_limit() -> None:
    largest = KnownPayment(2**53, 10**15, "processed", 2**53, "fallback")
    question = encode_known_question(KnownQuestion(ids(KNOWN_IDS_MAX), 2**53))
    answer = encode_known(Known(2**53, dict.fromkeys(ids(KNOWN_IDS_MAX), largest)))
    routed = KnownPayment(2**53, 10**15, events=(2**53,) * KNOWN_EVENTS_MAX)
    of_routed = encode_known(Known(2**53, dict.fromkeys(ids(KNOWN_IDS_MAX), routed)))
    assert MESSAGE_BYTES_MAX < len(question) < len(answer) < BROKER_BYTES_MAX / 2
    assert len(of_routed) < BROKER_BYTES_MAX * 3 / 4


def test_more_ids_than_the_limit_are_refused_on_both_sides() -> None:
    too_many = ids(KNOWN_IDS_MAX + 1)
    with pytest.raises(ValueError, match="at most"):
        encode_known_question(KnownQuestion(too_many))
    with pytest.raises(ValueError, match="at most"):
        decode_known_question(f'{{"ids":{too_many},"upTo":null}}'.replace("'", '"').encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"ids":"no list","upTo":null}',
        b'{"ids":[],"upTo":"7"}',
        b'{"ids":[],"upTo":true}',
        b'{"ids":[7],"upTo":null}',
        b'{"ids":["no id"],"upTo":null}',
        b'{"ids":["4A7901B8-7d26-4d9d-aa19-4dc1c7cf60b3"],"upTo":null}',
    ],
)
def test_anything_else_is_no_question(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        decode_known_question(payload)


@pytest.mark.parametrize(
    "payload",
    [b"null", b'{"position":7}', b'{"position":7,"payments":{"a":[1]}}', b'{"position":7,"payments":{"a":[1,2,"x"]}}'],
)
def test_anything_else_is_no_answer(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        decode_known(payload)
