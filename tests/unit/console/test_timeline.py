import orjson

from tollgate.console.timeline import Entry, render_payment, render_summary
from tollgate.contract.events import Event, PaymentInDoubt, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_api import PaymentView, Summary, Total

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"


def test_a_payment_is_shown_with_each_event_its_time_its_recorded_reason_and_that_in_words() -> None:
    why = "probe: fallback has been down for 2.0 s"
    events: list[Event] = [
        PaymentRequested(ID, 1990, 1_000_000),
        PaymentRouted(ID, 1990, 1, "fallback", 2_000_000, why),
        PaymentInDoubt(ID, 1, "fallback", "no answer"),
        PaymentProcessed(ID, 1990, 1, "fallback", 2_000_000, 3_000_000),
    ]
    history = [Entry(number, number * 1_000_000, event) for number, event in enumerate(events, 1)]
    shown = orjson.loads(render_payment(PaymentView(ID, 1990, "processed", [1, 2, 3, 4]), history))
    assert (shown["state"], shown["amountCents"], shown["missing"]) == ("processed", 1990, 0)
    assert [step["kind"] for step in shown["steps"]] == ["requested", "routed", "in_doubt", "processed"]
    assert [step["atMs"] for step in shown["steps"]] == [1_000, 2_000, 3_000, 4_000]
    assert shown["steps"][1]["why"] == why
    assert "tested whether it works" in shown["steps"][1]["explanation"]


def test_events_that_left_the_stream_are_counted() -> None:
    history = [Entry(4, 1, PaymentProcessed(ID, 1990, 1, "default", 2_000_000, 3_000_000))]
    shown = orjson.loads(render_payment(PaymentView(ID, 1990, "processed", [1, 2, 4]), history))
    assert shown["missing"] == 2


def test_a_summary_of_the_past_does_not_claim_to_be_settled() -> None:
    summary = Summary({"default": Total(2, 300), "fallback": Total()}, settled=False, open_attempts=0, position=7)
    now, past = (orjson.loads(render_summary(summary, is_of_the_past=past)) for past in (False, True))
    assert (now["isSettled"], past["isSettled"]) == (False, None)
    assert now["totals"]["default"] == {"count": 2, "amountCents": 300}
