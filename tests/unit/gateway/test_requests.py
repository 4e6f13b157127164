"""Valid payment requests are parsed, and all others get the problem that names their fault."""

import json
import time
from decimal import Decimal
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.money import AMOUNT_CENTS_MAX, format_cents
from tollgate.gateway.problems import Problem
from tollgate.gateway.requests import (
    BODY_BYTES_MAX,
    NUMBER_CHARACTERS_MAX,
    PaymentOrder,
    is_too_long,
    parse_correlation_id,
    parse_order,
)

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
JSON = "application/json"
GOOD = f'{{"correlationId":"{ID}","amount":19.90}}'.encode()


def with_amount(literal: str) -> bytes:
    return f'{{"correlationId":"{ID}","amount":{literal}}}'.encode()


def with_id(literal: str) -> bytes:
    return f'{{"correlationId":{literal},"amount":19.90}}'.encode()


def parse(body: bytes) -> PaymentOrder:
    return parse_order(JSON, None, body)


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        f' \r\n\t{{ "amount" : 19.90 ,\n "correlationId" : "{ID}" }} \n'.encode(),
        f'{{"correlationId":"{ID.upper()}","amount":19.90}}'.encode(),
        f'{{"correlationId":"{ID}","amount":19.90,"note":"x","more":{{"a":[1,2.5,null]}}}}'.encode(),
        f'{{"correlation\\u0049d":"{ID}","amount":19.90}}'.encode(),
        f'{{"Amount":"x","correlationId":"{ID}","amount":19.90}}'.encode(),
        f'{{"note":"é\U0001f4b6","correlationId":"{ID}","amount":19.90}}'.encode(),
        *map(with_amount, ["19.9", "19.90", "19.900000000000000000000000", "1990e-2", "1.99e1", "0.199E+2"]),
    ],
)
def test_a_payment_is_read_in_every_spelling_of_the_same_thing(body: bytes) -> None:
    assert parse(body) == PaymentOrder(ID, 1990)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"',
     " application/json ; charset=UTF-8 ", "application/json; charset=utf8", "application/json; charset=us-ascii",
     "application/json; profile=x", "application/json; odata.metadata=minimal; charset=utf-8", "application/json;",
     'application/json; profile="a; charset=latin-1"'],
)  # fmt: skip
@pytest.mark.parametrize("content_encoding", [None, "", "identity", "Identity", " identity "])
def test_json_in_utf_8_as_it_is_may_be_said_in_every_usual_way(content_type: str, content_encoding: str | None) -> None:
    assert parse_order(content_type, content_encoding, GOOD) == PaymentOrder(ID, 1990)


@given(st.integers(1, AMOUNT_CENTS_MAX), st.uuids())
def test_every_amount_and_id_is_read_exactly(amount_cents: int, correlation_id: object) -> None:
    body = f'{{"correlationId":"{correlation_id}","amount":{format_cents(amount_cents)}}}'.encode()
    assert parse(body) == PaymentOrder(str(correlation_id), amount_cents)


@pytest.mark.parametrize(
    ("literal", "amount_cents"), [("0.01", 1), ("1", 100), ("1000000000", AMOUNT_CENTS_MAX), ("1e9", AMOUNT_CENTS_MAX)]
)
def test_the_smallest_and_the_largest_amount_are_let_in(literal: str, amount_cents: int) -> None:
    assert parse(with_amount(literal)).amount_cents == amount_cents


BAD_MEDIA = [
    (None, None),
    ("", None),
    ("text/plain", None),
    ("application/jsonx", None),
    ("application/problem+json", None),
    ("application/x-www-form-urlencoded", None),
    ("multipart/form-data; boundary=x", None),
    ("application/json; charset=utf-16", None),
    ("application/json; charset=latin-1", None),
    ("application/json; charset=utf-8; charset=latin-1", None),
    ("application/json; profile=x; charset=latin-1", None),
    ('application/json; charset="\xfc"', None),
    ("application/json; charset*=utf-8''latin-1", None),
    ("application/json; charset=", None),
    ("application/json, text/plain", None),
    ("json", None),
    (JSON, "gzip"),
    (JSON, "br"),
    (JSON, "deflate, gzip"),
    (JSON, "identity, gzip"),
]
MALFORMED = [
    b"",
    b" ",
    b"{",
    b"}",
    b"null",
    b"true",
    b"19.90",
    b'"text"',
    b"[]",
    b"[" + GOOD + b"]",
    GOOD + GOOD,
    GOOD + b",",
    GOOD[:-1] + b",}",
    GOOD.replace(b'"', b"'"),
    GOOD.replace(b":", b"="),
    b"\xef\xbb\xbf" + GOOD,
    GOOD.decode().encode("utf-16"),
    b"\xff" + GOOD,
    f'{{"correlationId":"{ID}","amount":19.90,"note":"é"}}'.encode("latin-1"),
    GOOD.replace(b"}", b',"note":"\x01"}'),
    with_amount("NaN"),
    with_amount("Infinity"),
    with_amount("-Infinity"),
    with_amount("+19.90"),
    with_amount("019.90"),
    with_amount("19."),
    with_amount(".90"),
    with_amount("0x10"),
    with_amount("1_000"),
    with_amount("19,90"),
    with_amount("1e"),
    with_amount("\uff11\uff19"),
    f'{{"correlationId":"{ID}","amount":19.90,"amount":19.90}}'.encode(),
    f'{{"correlationId":"{ID}","correlationId":"{ID}","amount":19.90}}'.encode(),
    f'{{"correlationId":"{ID}","amount":19.90,"more":{{"a":1,"a":2}}}}'.encode(),
    f'{{"correlationId":"{ID}","amount":19.90,"correlation\\u0049d":"{ID}"}}'.encode(),
    b"[" * 60_000,
    b'{"a":' * 10_000,
]
INVALID = [
    b"{}",
    f'{{"correlationId":"{ID}"}}'.encode(),
    b'{"amount":19.90}',
    f'{{"CorrelationId":"{ID}","amount":19.90}}'.encode(),
    f'{{"correlation_id":"{ID}","amount":19.90}}'.encode(),
    *map(
        with_id,
        [
            "null",
            "7",
            "true",
            "[]",
            "{}",
            '""',
            '"x"',
            f'"{ID[:-1]}"',
            f'"{ID}0"',
            f'" {ID}"',
            f'"{ID} "',
            f'"{ID}\\n"',
            f'"{{{ID}}}"',
            f'"urn:uuid:{ID}"',
            f'"{ID.replace("-", "")}"',
            f'"{ID[:-1]}g"',
            f'"{ID.replace("-", "_")}"',
            '"٤a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"',
            '"\\ud800a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"',
            f'"{ID}\\u0000"',
        ],
    ),
    *map(
        with_amount,
        [
            "null",
            "true",
            "false",
            '"19.90"',
            '""',
            "[19.90]",
            "{}",
            "0",
            "0.0",
            "-0",
            "0e5",
            "-0.01",
            "-19.90",
            "19.905",
            "0.001",
            "1e-3",
            "19.900000000000000001",
            "1000000000.01",
            "1e10",
            "1e400",
            "1e999999",
            "1e99999999999",
            "1e9999999999999999999999",
            "1e-400",
            "1e-999999",
            "1e-2000000",
            "1e-99999999999",
            "-1e999999",
            "1" * (NUMBER_CHARACTERS_MAX + 1),
            "19.90".ljust(NUMBER_CHARACTERS_MAX + 1, "0"),
            "1" * 60_000,
            "0." + "0" * NUMBER_CHARACTERS_MAX + "1",
        ],
    ),
]


def refusal(content_type: str | None, content_encoding: str | None, body: bytes) -> Problem:
    started = time.perf_counter()
    with pytest.raises(Problem) as refused:
        parse_order(content_type, content_encoding, body)
    assert time.perf_counter() - started < 0.5
    return refused.value


def name_of(value: object) -> str:
    return repr(value)[:60]


@pytest.mark.parametrize(("content_type", "content_encoding"), BAD_MEDIA)
def test_what_is_not_sent_as_plain_json_is_unsupported(content_type: str | None, content_encoding: str | None) -> None:
    assert refusal(content_type, content_encoding, GOOD).status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("body", MALFORMED, ids=name_of)
def test_what_cannot_be_read_is_a_bad_request(body: bytes) -> None:
    problem = refusal(JSON, None, body)
    assert problem.status == HTTPStatus.BAD_REQUEST
    assert problem.detail


@pytest.mark.parametrize("body", INVALID, ids=name_of)
def test_what_can_be_read_and_is_no_payment_is_unprocessable(body: bytes) -> None:
    problem = refusal(JSON, None, body)
    assert problem.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert problem.detail
    assert len(problem.body()) < 1_000


@pytest.mark.parametrize(
    ("body", "named"),
    [(b"{}", "correlationId"), (f'{{"correlationId":"{ID}"}}'.encode(), "amount"), (with_id("7"), "correlationId"),
     (with_amount('"19.90"'), "amount"), (with_amount("19.905"), "two decimal places"),
     (with_amount("0"), "greater than zero"), (with_amount("1e10"), "1000000000.00")],
)  # fmt: skip
def test_a_refusal_names_the_fault(body: bytes, named: str) -> None:
    assert named in refusal(JSON, None, body).detail


def test_there_are_at_least_fifty_ways_to_be_refused_here() -> None:
    assert len(BAD_MEDIA) + len(MALFORMED) + len(INVALID) >= 50


def test_a_body_over_the_limit_is_too_large_and_one_at_the_limit_is_not() -> None:
    filler = b" " * (BODY_BYTES_MAX - len(GOOD))
    assert parse(GOOD + filler) == PaymentOrder(ID, 1990)
    assert refusal(JSON, None, GOOD + filler + b" ").status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_the_media_type_is_looked_at_before_the_body() -> None:
    assert refusal("text/plain", None, b" " * (BODY_BYTES_MAX + 1)).status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_a_number_of_just_the_allowed_length_is_read() -> None:
    literal = "19.90".ljust(NUMBER_CHARACTERS_MAX, "0")
    assert parse(with_amount(literal)).amount_cents == 1990


@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
)
def test_whatever_number_is_sent_it_is_read_exactly_or_refused(number: float | Decimal) -> None:
    try:
        order = parse(with_amount(str(number)))
    except Problem as problem:
        assert problem.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)  # noqa: PT017
    else:
        assert Decimal(order.amount_cents) == Decimal(str(number)) * 100
        assert 1 <= order.amount_cents <= AMOUNT_CENTS_MAX


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(ID),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["correlationId", "amount", "x"]), inner)
    ),
    max_leaves=6,
)


@given(documents.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=60))
def test_no_body_at_all_makes_reading_fail_in_another_way(body: bytes) -> None:
    try:
        order = parse(body)
    except Problem as problem:
        assert problem.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)  # noqa: PT017
    else:
        assert order.amount_cents >= 1


def test_an_id_in_a_path_is_read_by_the_same_rule() -> None:
    assert parse_correlation_id(ID.upper()) == ID
    for value in (None, "", "x", ID[:-1], ID + "/"):
        with pytest.raises(Problem) as refused:
            parse_correlation_id(value)
        assert refused.value.status == HTTPStatus.UNPROCESSABLE_ENTITY


@given(
    id_=st.sampled_from((ID, ID.upper(), ID[:-1], ID + "0", "")),
    amount=st.one_of(
        st.from_regex(r"-?[0-9]{1,14}(\.[0-9]{0,4})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
        st.sampled_from(("0", "0.00", "0.01", "1000000000.00", "1000000000.01", "999999999999.99", "00.10", "1.", "٣")),
    ),
    space=st.sampled_from(("", " ", "  ", "\n")),
)
def test_a_body_of_the_usual_form_is_read_as_the_parser_of_json_reads_it(id_: str, amount: str, space: str) -> None:
    body = f'{{"correlationId":{space}"{id_}",{space}"amount":{space}{amount}}}'.encode()
    assert _result(body) == _result(body + b" ")


def _result(body: bytes) -> PaymentOrder | tuple[int, str]:
    try:
        return parse(body)
    except Problem as problem:
        return problem.status, problem.detail


@pytest.mark.parametrize("zeros", [0, 1, 5_000])
def test_a_length_is_compared_as_a_number_however_it_is_written(zeros: int) -> None:
    assert not is_too_long(b"0" * zeros + b"%d" % BODY_BYTES_MAX)
    assert is_too_long(b"0" * zeros + b"%d" % (BODY_BYTES_MAX + 1))
    assert is_too_long(b"9" * (zeros + 6)), "more digits than Python converts"
    assert not is_too_long(b"0")
