"""What an operator is shown of charging."""

import json

from contract.queries import Charging, DoubtView, Total
from processor.status import Backlog, render_json, render_table

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
DOUBT = DoubtView(ID, 1990, "default", 2, 1, 2_000_000, "no answer in time")
TOTALS = {"default": Total(3, 6000), "fallback": Total(1, 2000)}
CHARGING = Charging(5, 4, 3, [DOUBT], TOTALS, 77)  # type: ignore[arg-type]
BACKLOG = Backlog(7, 8, 9)


def test_the_table_tells_counts_fees_and_queue_and_each_doubt_with_its_age() -> None:
    assert render_table(CHARGING, BACKLOG, 3_725_000_000) == "\n".join(
        [
            "payments   5 pending, 4 routed, 3 in doubt",
            "default    3 charged, 60.00",
            "fallback   1 charged, 20.00",
            "fees       6.00 paid, 6.00 saved by not paying the dearest",
            "queue      7 waiting, 8 under way, 9 redelivered",
            "",
            "in doubt                                      amount  processor  attempt         for  why",
            f"{ID}           19.90  default          2    1h02m03s  no answer in time",
            "… and 2 more that are younger",
        ]
    )


def test_without_a_doubt_there_is_no_list_of_doubts() -> None:
    table = render_table(Charging(0, 0, 0, [], TOTALS, 1), Backlog(0, 0, 0), 0)  # type: ignore[arg-type]
    assert len(table.splitlines()) == 5


def test_the_json_has_the_same_figures_and_exact_cents() -> None:
    shown = json.loads(render_json(CHARGING, BACKLOG, 3_500_000))
    assert shown["payments"] == {
        "pending": 5,
        "routed": 4,
        "inDoubt": 3,
        "charged": {
            "default": {"count": 3, "amount_cents": 6000},
            "fallback": {"count": 1, "amount_cents": 2000},
        },
    }
    assert shown["fees"] == {"paidCents": 600, "savedCents": 600}
    assert shown["doubtsNotListed"] == 2
    (doubt,) = shown["doubts"]
    assert (doubt["since"], doubt["ageSeconds"]) == ("1970-01-01T00:00:02.000000Z", 1.5)


def test_an_age_is_never_below_zero() -> None:
    assert json.loads(render_json(CHARGING, BACKLOG, 0))["doubts"][0]["ageSeconds"] == 0


def test_a_doubt_that_an_operator_holds_is_marked() -> None:
    held = DoubtView(ID, 1990, "default", 2, 1, 2_000_000, "no answer in time", is_held=True)
    table = render_table(Charging(0, 0, 1, [held], TOTALS, 1), BACKLOG, 0)  # type: ignore[arg-type]
    assert table.endswith("held by an operator; no answer in time")
