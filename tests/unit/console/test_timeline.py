import orjson

from tollgate.console.timeline import render_payment, render_summary
from tollgate.contract.events import Event, PaymentInDoubt, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_api import PaymentView, Summary, Total

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"


def test_a_payment_is_shown_with_each_event_and_its_recorded_reason() -> None:
    history: list[tuple[int, Event]] = [
        (1, PaymentRequested(ID, 1990, 1_000_000)),
        (2, PaymentRouted(ID, 1990, 1, "fallback", 2_000_000, "patience is over")),
        (3, PaymentInDoubt(ID, 1, "fallback", "no answer")),
        (4, PaymentProcessed(ID, 1990, 1, "fallback", 2_000_000, 3_000_000)),
    ]
    shown = orjson.loads(render_payment(PaymentView(ID, 1990, "processed", [1, 2, 3, 4]), history))
    assert (shown["state"], shown["amountCents"]) == ("processed", 1990)
    assert [step["kind"] for step in shown["steps"]] == ["requested", "routed", "in_doubt", "processed"]
    assert shown["steps"][1]["why"] == "patience is over"
    assert [step["atMs"] for step in shown["steps"]] == [1_000, 2_000, None, 3_000]


def test_a_summary_of_the_past_does_not_claim_to_be_settled() -> None:
    summary = Summary({"default": Total(2, 300), "fallback": Total()}, settled=False, open_attempts=0, position=7)
    now, past = (orjson.loads(render_summary(summary, is_of_the_past=past)) for past in (False, True))
    assert (now["isSettled"], past["isSettled"]) == (False, None)
    assert now["totals"]["default"] == {"count": 2, "amountCents": 300}
