"""What each answer proves under each contract: the tables row by row, and that everything outside proves nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.events import PROVIDERS, PaymentRouted
from tollgate.contract.money import AMOUNT_CENTS_MAX
from tollgate.processor.charging.outcomes import (
    Charged,
    Duplicate,
    Failed,
    Found,
    LookUp,
    LookupAnswer,
    Missing,
    NoAnswer,
    NotReached,
    OutsideContract,
    Refused,
    StayInDoubt,
    after_lookup,
    after_sending,
)
from tollgate.processor.charging.provider_client import attempt_body
from tollgate.processor.charging.provider_contract import CONTEST, CONTRACTS, STRICT, ProviderContract, Reply
from tollgate.processor.health.report import Health, NoHealth

PAYMENT = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
ATTEMPT = PaymentRouted(PAYMENT, 1990, 1, "default", 1_750_000_000_000_001, "why")
ATTEMPTS = st.builds(
    PaymentRouted,
    st.uuids().map(str),
    st.integers(1, AMOUNT_CENTS_MAX),
    st.integers(1, 1000),
    st.sampled_from(PROVIDERS),
    st.integers(0, 4_000_000_000_000_000),
    st.text(max_size=20),
)

EMPTY = b""
MESSAGE = b'{"message":"as the contest words it"}'
OTHERS = [
    b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    b'{"Message":"in capitals"}',
    b'{"message":null}',
    b'{"message":{"a":1}}',
    b'{"error":"invalid_token"}',
    b'["message"]',
    b'"message"',
    b"null",
    b"{",
    b" ",
    b"\xff\xfe",
    b"[" * 60_000,
]
BODIES = [EMPTY, MESSAGE, *OTHERS]
every_contract = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.name)


def meaning(contract: ProviderContract, status: int, body: bytes) -> type:
    """The tables of docs/decisions/0020, written down a second time."""
    if status == 429:
        return NotReached
    if body == MESSAGE and status in {200, 422}:
        return {200: Charged, 422: Duplicate}[status]
    if contract is CONTEST and (status, body) in {(400, EMPTY), (500, MESSAGE), (500, EMPTY)}:
        return Refused if status == 400 else Failed
    return OutsideContract


@every_contract
@pytest.mark.parametrize("status", range(100, 600))
def test_an_answer_to_a_payment_means_what_the_table_says(contract: ProviderContract, status: int) -> None:
    for body in BODIES:
        answer = contract.payment_answer(Reply(status, body))
        assert type(answer) is meaning(contract, status, body), body[:60]
        if not isinstance(answer, Charged | Duplicate):
            assert str(status) in str(answer)


@pytest.mark.parametrize(
    "status", [401, 403, 404, 405, 408, 409, 413, 425, 451, 502, 503, 504, 520, 521, 522, 525, 530]
)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:20].decode("latin-1"))
@every_contract
def test_the_answer_of_a_proxy_leaves_the_attempt_in_doubt(
    contract: ProviderContract, status: int, body: bytes
) -> None:
    answer = contract.payment_answer(Reply(status, body))
    for in_doubt in (False, True):
        assert isinstance(after_sending(ATTEMPT, answer, in_doubt=in_doubt), StayInDoubt)


def test_no_error_releases_or_rejects_under_the_strict_contract() -> None:
    for status in {*range(100, 600)} - {200, 422, 429}:
        for body in BODIES:
            answer = STRICT.payment_answer(Reply(status, body))
            assert isinstance(after_sending(ATTEMPT, answer, in_doubt=False), StayInDoubt), (status, body[:60])


@every_contract
@pytest.mark.parametrize("status", range(100, 600))
def test_an_answer_to_a_lookup_means_what_the_table_says(contract: ProviderContract, status: int) -> None:
    for body in BODIES:
        answer = contract.lookup_answer(Reply(status, body), PAYMENT)
        if status == 404 and (contract is STRICT or body == EMPTY):
            expected: type = Missing
        else:
            expected = NoAnswer if status == 429 else OutsideContract
        assert type(answer) is expected, body[:60]


@pytest.mark.parametrize("body", [MESSAGE, *OTHERS], ids=lambda body: body[:20].decode("latin-1"))
def test_a_404_of_an_ingress_releases_and_rejects_nothing(body: bytes) -> None:
    found = CONTEST.lookup_answer(Reply(404, body), PAYMENT)
    for status in (500, 400):
        answer = CONTEST.payment_answer(Reply(status, EMPTY))
        assert after_sending(ATTEMPT, answer, in_doubt=False) == LookUp()
        assert isinstance(after_lookup(ATTEMPT, answer, found, in_doubt=False), StayInDoubt)
    assert isinstance(after_lookup(ATTEMPT, None, found, in_doubt=True), StayInDoubt)


def test_the_source_of_an_answer_outside_of_the_contract_is_named() -> None:
    headers = {"Content-Type": "text/html", "Server": "nginx/1.27", "Set-Cookie": "session=s3cr3t"}
    assert CONTEST.payment_answer(Reply(401, b"", headers)) == OutsideContract("status 401 (text/html, nginx/1.27)")
    headers = {"Server": "\udcff\n\u00e9" + "x" * 1_000}
    assert CONTEST.payment_answer(Reply(403, b"", headers)) == OutsideContract(f"status 403 (???{'x' * 77})")


# Records.


def read(body: bytes) -> LookupAnswer:
    return CONTEST.lookup_answer(Reply(200, body), PAYMENT)


@given(ATTEMPTS)
def test_a_record_that_repeats_the_attempt_is_read_exactly(attempt: PaymentRouted) -> None:
    assert CONTEST.lookup_answer(Reply(200, attempt_body(attempt)), attempt.correlation_id) == Found(
        attempt.amount_cents, attempt.requested_at_us
    )


@pytest.mark.parametrize("amount", ["19.9", "19.90", "19.900", "1990e-2", "1.99E1"])
@pytest.mark.parametrize(
    "stamp", ["2025-06-15T15:06:40.000001Z", "2025-06-15T15:06:40.000001+00:00", "2025-06-15T17:06:40.000001+02:00"]
)
def test_a_record_is_read_in_every_spelling_of_the_same_thing(amount: str, stamp: str) -> None:
    record = f'{{"correlationId":"{PAYMENT}","amount":{amount},"requestedAt":"{stamp}","more":[1]}}'.encode()
    assert read(record) == Found(1990, 1_750_000_000_000_001)


ID = f'"correlationId":"{PAYMENT}"'
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
        f"{{{ID},{STAMP}}}".encode(),
        f'{{{ID},"amount":19.90}}'.encode(),
        f'{{{ID},"amount":"19.90",{STAMP}}}'.encode(),
        f'{{{ID},"amount":true,{STAMP}}}'.encode(),
        f'{{{ID},"amount":null,{STAMP}}}'.encode(),
        f'{{{ID},"amount":[1],{STAMP}}}'.encode(),
        f'{{{ID},"amount":NaN,{STAMP}}}'.encode(),
        f'{{{ID},"amount":Infinity,{STAMP}}}'.encode(),
        f'{{{ID},"amount":0,{STAMP}}}'.encode(),
        f'{{{ID},"amount":-19.90,{STAMP}}}'.encode(),
        f'{{{ID},"amount":19.905,{STAMP}}}'.encode(),
        f'{{{ID},"amount":1e400,{STAMP}}}'.encode(),
        f'{{{ID},"amount":1e999999,{STAMP}}}'.encode(),
        f'{{{ID},"amount":1e99999999999999999999,{STAMP}}}'.encode(),
        f'{{{ID},"amount":1e-2000000,{STAMP}}}'.encode(),
        f'{{{ID},"amount":19.90,"requestedAt":null}}'.encode(),
        f'{{{ID},"amount":19.90,"requestedAt":5}}'.encode(),
        f'{{{ID},"amount":19.90,"requestedAt":[]}}'.encode(),
        f'{{{ID},"amount":19.90,"requestedAt":{{}}}}'.encode(),
        f'{{{ID},"amount":19.90,"requestedAt":"yesterday"}}'.encode(),
        f'{{{ID},"amount":19.90,"requestedAt":"2025-02-30T00:00:00Z"}}'.encode(),
        b"[" * 60_000,
        f'{{"amount":19.90,{STAMP}}}'.encode(),
        f'{{"correlationId":null,"amount":19.90,{STAMP}}}'.encode(),
        f'{{"correlationId":["{PAYMENT}"],"amount":19.90,{STAMP}}}'.encode(),
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
def test_an_unreadable_record_proves_nothing(body: bytes) -> None:
    answer = read(body)
    assert isinstance(answer, OutsideContract)
    assert answer.why


@given(st.binary(max_size=80))
def test_reading_a_record_fails_for_no_bytes(body: bytes) -> None:
    assert isinstance(read(body), OutsideContract | Found)


@every_contract
def test_the_record_of_another_payment_proves_nothing(contract: ProviderContract) -> None:
    other = f'{{"correlationId":"{PAYMENT[:-1]}4","amount":19.90,{STAMP}}}'.encode()
    answer = contract.lookup_answer(Reply(200, other), PAYMENT)
    assert answer == OutsideContract("status 200 with the record of another payment")


def test_a_record_names_the_payment_in_any_case() -> None:
    record = f'{{"correlationId":"{PAYMENT.upper()}","amount":19.90,{STAMP}}}'.encode()
    assert read(record) == Found(1990, 1_750_000_000_000_001)


# Health.


@every_contract
@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize(
    ("body", "health"),
    [
        (b'{"failing":false,"minResponseTime":0}', Health(False, 0.0)),
        (b'{"failing":true,"minResponseTime":1500,"more":1}', Health(True, 1.5)),
    ],
)
def test_health_is_taken_at_200_and_at_503(
    contract: ProviderContract, status: int, body: bytes, health: Health
) -> None:
    assert contract.health_answer(Reply(status, body)) == health


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (429, b"", "429"),
        (503, b"", "status 503"),
        (503, b"<html>", "status 503"),
        (500, b'{"failing":true,"minResponseTime":0}', "status 500"),
        (302, b"", "status 302"),
        (200, b"", "cannot be read"),
        (200, b"[]", "no JSON object"),
        (200, b'{"failing":"no","minResponseTime":0}', "failing"),
        (200, b'{"failing":false}', "minResponseTime"),
        (200, b'{"failing":false,"minResponseTime":true}', "minResponseTime"),
        (200, b'{"failing":false,"minResponseTime":-1}', "out of range"),
        (200, b'{"failing":false,"minResponseTime":1e300}', "out of range"),
    ],
)
@every_contract
def test_any_other_answer_is_a_failed_check_with_its_reason(
    contract: ProviderContract, status: int, body: bytes, why: str
) -> None:
    answer = contract.health_answer(Reply(status, body))
    assert isinstance(answer, NoHealth)
    assert why in answer.why
