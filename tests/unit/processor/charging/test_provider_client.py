"""The bytes of an attempt. No network here."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.events import PROVIDERS, PaymentRouted
from tollgate.contract.money import AMOUNT_CENTS_MAX
from tollgate.contract.timestamps import parse_us
from tollgate.processor.charging.provider_client import attempt_body

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


def test_the_body_of_an_attempt_is_exactly_this() -> None:
    assert attempt_body(ATTEMPT) == (
        b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":19.90,'
        b'"requestedAt":"2025-06-15T15:06:40.000001Z"}'
    )


@given(ATTEMPTS, st.text(max_size=5))
def test_an_attempt_has_the_same_bytes_each_time_whatever_the_reason_for_it(attempt: PaymentRouted, why: str) -> None:
    again = PaymentRouted(
        attempt.correlation_id, attempt.amount_cents, 9, attempt.provider, attempt.requested_at_us, why
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
