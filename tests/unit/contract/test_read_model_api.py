"""Questions and answers of the read model survive encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.contract.event_strategies import amounts, ids, providers
from tollgate.contract.events import PROVIDERS
from tollgate.contract.read_model_api import (
    Charging,
    DoubtView,
    PaymentStatus,
    PaymentView,
    Summary,
    SummaryQuestion,
    Total,
    decode_charging,
    decode_payment,
    decode_question,
    decode_summary,
    encode_charging,
    encode_payment,
    encode_question,
    encode_summary,
)

bounds = st.none() | st.integers(-(2**62), 2**62)
totals = st.builds(Total, st.integers(0, 2**40), st.integers(0, 2**62))
states: st.SearchStrategy[PaymentStatus] = st.sampled_from(["pending", "routed", "in_doubt", "processed", "rejected"])
summaries = st.builds(
    Summary, st.dictionaries(providers, totals), st.booleans(), st.integers(0, 2**40), st.integers(0, 2**40)
)
moments = st.integers(0, 2**60)
doubts = st.builds(
    DoubtView, ids, amounts, providers, st.integers(1, 9), moments, moments, st.text(max_size=9), st.booleans()
)
views = st.builds(
    PaymentView, ids, amounts, states, st.lists(st.integers(1, 2**40), min_size=1, max_size=5), st.none() | doubts
)
counts = st.integers(0, 2**40)
chargings = st.builds(
    Charging, counts, counts, counts, st.lists(doubts, max_size=3), st.dictionaries(providers, totals), counts
)


@given(st.builds(SummaryQuestion, bounds, bounds))
def test_a_question_survives_encoding(question: SummaryQuestion) -> None:
    assert decode_question(encode_question(question)) == question


@given(summaries)
def test_a_summary_survives_encoding(summary: Summary) -> None:
    assert decode_summary(encode_summary(summary)) == summary


@given(st.none() | views)
def test_a_payment_or_none_survives_encoding(view: PaymentView | None) -> None:
    assert decode_payment(encode_payment(view)) == view


@given(chargings)
def test_the_state_of_charging_survives_encoding(charging: Charging) -> None:
    assert decode_charging(encode_charging(charging)) == charging


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert decode_question(b'{"from_us":1,"to_us":2,"more":3}') == SummaryQuestion(1, 2)
    assert decode_question(b"{}") == SummaryQuestion()


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"null", b"[]", b"7", b"\xff", b'{"from_us":"yesterday"}', b'{"to_us":1.5}', b'{"to_us":true}'],
)
def test_a_payload_that_is_no_question_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_question(payload)


def test_an_empty_summary_has_both_providers_and_is_not_settled() -> None:
    assert Summary() == Summary({name: Total(0, 0) for name in PROVIDERS}, settled=False, open_attempts=0, position=0)
    assert Summary().totals is not Summary().totals


def test_the_first_sequence_of_a_payment_is_its_request() -> None:
    assert PaymentView("id", 1, "routed", [5, 9]).request_sequence == 5
