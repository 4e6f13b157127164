"""Answers as JSON, to the byte: money has two places and is never a float."""

import json
from decimal import Decimal
from typing import get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.codec import encode
from tollgate.contract.events import (
    Event,
    ManualResolution,
    PaymentProcessed,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.read_model_api import DoubtView, PaymentStatus, PaymentView, Summary, Total
from tollgate.gateway.responses import render_payment, render_summary

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
EVENTS: list[Event] = [
    PaymentRequested(ID, 1990, 1),
    PaymentRouted(ID, 1990, 1, "default", 2, 'why "so": é'),
    PaymentProcessed(ID, 1990, 1, "default", 2, 3),
]


def test_a_summary_is_exactly_this() -> None:
    summary = Summary({"default": Total(2, 3980), "fallback": Total(1, 5)}, settled=True, position=9)
    assert render_summary(summary) == (
        b'{"default":{"totalRequests":2,"totalAmount":39.80},"fallback":{"totalRequests":1,"totalAmount":0.05}}'
    )


def test_a_summary_of_nothing_has_zeros_for_both_processors() -> None:
    assert render_summary(Summary()) == (
        b'{"default":{"totalRequests":0,"totalAmount":0.00},"fallback":{"totalRequests":0,"totalAmount":0.00}}'
    )


@given(st.builds(Total, st.integers(0, 10**12), st.integers(0, 10**18)), st.builds(Total))
def test_the_totals_in_a_summary_are_exact_at_any_size(one: Total, other: Total) -> None:
    parsed = json.loads(render_summary(Summary({"default": one, "fallback": other})), parse_float=Decimal)
    for name, total in (("default", one), ("fallback", other)):
        assert parsed[name]["totalRequests"] == total.count
        assert parsed[name]["totalAmount"] * 100 == total.amount_cents
        assert parsed[name]["totalAmount"].as_tuple().exponent == -2


def test_a_payment_is_exactly_this() -> None:
    view = PaymentView(ID, 1990, "pending", [7])
    event = encode(EVENTS[0])
    assert render_payment(view, [(7, event)], now_us=0) == (
        b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","state":"pending","amount":19.90,'
        b'"history":[{"sequence":7,"event":' + event + b"}]}"
    )


@pytest.mark.parametrize("state", get_args(PaymentStatus))
def test_a_payments_history_is_what_the_log_holds(state: PaymentStatus) -> None:
    history = [(sequence, encode(event)) for sequence, event in enumerate(EVENTS, start=5)]
    parsed = json.loads(render_payment(PaymentView(ID, 1, state, [5, 6, 7]), history, now_us=0), parse_float=Decimal)
    assert list(parsed) == ["correlationId", "state", "amount", "history"]
    assert (parsed["state"], parsed["amount"]) == (state, Decimal("0.01"))
    assert [one["sequence"] for one in parsed["history"]] == [5, 6, 7]
    assert [one["event"] for one in parsed["history"]] == [orjson.loads(encode(event)) for event in EVENTS]


def test_clients_do_not_read_who_of_the_operators_spoke_nor_the_note() -> None:
    resolution = ManualResolution("jane.doe@ops-7", "ticket 4711, José at the bank", 2_000_000)
    event = encode(PaymentReleased(ID, 1, "default", "never arrived", resolution))
    text = render_payment(PaymentView(ID, 1, "pending", [9]), [(9, event)], now_us=0).decode()
    stored, shown = orjson.loads(event), json.loads(text)["history"][0]["event"]
    assert shown == {**stored, "operatorWord": {"saidAt": "1970-01-01T00:00:02.000000Z"}}
    assert not any(secret in text for secret in ("jane.doe", "4711", "Jos", '"by"', '"note"'))


def test_a_reason_that_names_the_field_is_left_as_it_is() -> None:
    event = encode(PaymentRouted(ID, 1990, 1, "default", 2, 'a "operatorWord" in it'))
    parsed = json.loads(render_payment(PaymentView(ID, 1, "routed", [9]), [(9, event)], now_us=0))
    assert parsed["history"][0]["event"] == orjson.loads(event)


def test_a_payment_whose_events_were_purged_has_an_empty_history() -> None:
    assert render_payment(PaymentView(ID, 5, "processed", [1]), [], now_us=0).endswith(b'"amount":0.05,"history":[]}')


def test_a_payment_in_doubt_tells_which_attempt_is_and_for_how_long() -> None:
    doubt = DoubtView(ID, 1990, "fallback", 3, 1, 2_000_000, "no answer in time", is_held=True)
    view = PaymentView(ID, 1990, "in_doubt", [1], doubt)
    assert json.loads(render_payment(view, [], now_us=5_500_000))["doubt"] == {
        "processor": "fallback",
        "attempt": 3,
        "since": "1970-01-01T00:00:02.000000Z",
        "ageSeconds": 3.5,
        "why": "no answer in time",
        "heldByOperator": True,
    }
    assert json.loads(render_payment(view, [], now_us=1))["doubt"]["ageSeconds"] == 0
