import pytest

from tollgate.console.explanation import explain
from tollgate.processor.metrics import REASONS

EXPLAINED = {
    "cheapest: default 501, fallback 1504; saves 1306 cents": (
        "Both providers could take it. Fee and expected time came to 5.01 % of the amount at default,"
        " and to 15.04 % at fallback. The fee is 13.06 lower than at the other provider."
    ),
    "only choice: default; fallback is down; saves 10 cents": (
        "Only default could take it: fallback was down. The fee is 0.10 lower than at the other provider."
    ),
    "overflow: default has all 397 places taken, 812 wait; costs 5 cents more": (
        "Default worked, and could not clear the queue in time: all its 397 places were taken, and 812 payments waited."
        " The fee is 0.05 higher than at the other provider."
    ),
    "patience is over: default is down, waited 14.6 of 15.0 s; costs 1306 cents more": (
        "Default was down. The payment had waited 14.6 s, and no payment may wait longer than 15.0 s for it, the queue"
        " before it included. The fee is 13.06 higher than at the other provider."
    ),
    "probe: default has been down for 4.2 s; saves 1 cents": (
        "Default had been down for 4.2 s; this payment tested whether it works."
        " The fee is 0.01 lower than at the other provider."
    ),
}


@pytest.mark.parametrize(("why", "words"), EXPLAINED.items())
def test_a_reason_is_explained_in_words(why: str, words: str) -> None:
    assert explain(why) == words


def test_every_rule_of_the_router_is_explained() -> None:
    assert {why.partition(":")[0] for why in EXPLAINED} == set(REASONS)


@pytest.mark.parametrize("why", ["", "an older version's reason", "cheapest: default"])
def test_an_unknown_reason_has_no_explanation(why: str) -> None:
    assert explain(why) == ""
