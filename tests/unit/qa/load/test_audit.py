from datetime import UTC, datetime, timedelta

import pytest

from qa.load.audit import Audit, Sent, audit, totals_faults
from qa.load.provider_records import Entry, Summary, Totals

BEGAN = datetime(2025, 7, 5, 12, 0, tzinfo=UTC)
CLEAN = Audit((), (), (), (), ())


def entry(payment_id: str, cents: int = 1990, after_seconds: float = 1.0) -> Entry:
    return Entry(payment_id, cents, BEGAN + timedelta(seconds=after_seconds))


def sent() -> Sent:
    return Sent(accepted={"a": 1990, "b": 1990}, refused={"r": 1990}, unknown={"u": 1990})


def test_every_accepted_payment_recorded_once_is_clean() -> None:
    assert audit(sent(), {"default": [entry("a")], "fallback": [entry("b")]}, BEGAN) == CLEAN


def test_a_payment_of_unknown_outcome_may_be_charged_once() -> None:
    assert audit(sent(), {"default": [entry("a"), entry("b"), entry("u")], "fallback": []}, BEGAN).clean
    twice = audit(sent(), {"default": [entry("a"), entry("b"), entry("u")], "fallback": [entry("u")]}, BEGAN)
    assert twice.twice == ("u",)
    assert not twice.clean


def test_an_accepted_payment_without_a_record_is_lost() -> None:
    assert audit(sent(), {"default": [entry("a")], "fallback": []}, BEGAN).lost == ("b",)


def test_a_payment_recorded_at_both_providers_or_twice_at_one_was_charged_twice() -> None:
    provider_records = {"default": [entry("a"), entry("b"), entry("b")], "fallback": [entry("a")]}
    assert audit(sent(), provider_records, BEGAN).twice == ("a", "b")


def test_another_amount_is_wrong_and_not_lost() -> None:
    found = audit(sent(), {"default": [entry("a", 1991), entry("b")], "fallback": []}, BEGAN)
    assert (found.wrong, found.lost) == (("a",), ())


def test_a_record_that_was_never_sent_is_invented_unless_it_is_older_than_the_run() -> None:
    provider_records = {
        "default": [entry("a"), entry("b"), entry("x"), entry("old", after_seconds=-0.001)],
        "fallback": [],
    }
    assert audit(sent(), provider_records, BEGAN).invented == ("x",)


def test_a_refused_payment_must_not_be_charged() -> None:
    assert audit(sent(), {"default": [entry("a"), entry("b"), entry("r")], "fallback": []}, BEGAN).refused == ("r",)


def summary(count: int, cents: int) -> Summary:
    return Summary(Totals(count, cents), Totals())


@pytest.mark.parametrize("charged", [2, 3])
def test_totals_may_lie_between_what_was_accepted_and_what_is_unknown(charged: int) -> None:
    whole = summary(charged, charged * 1990)
    assert totals_faults(sent(), whole, whole) == []


def test_totals_outside_of_it_are_faults_and_say_so() -> None:
    assert totals_faults(sent(), summary(4, 7960), summary(4, 7960)) == [
        "the provider records hold 4 payments, and should hold between 2 and 3",
        "the provider records hold 7960 cents, and should hold between 3980 and 5970",
    ]


def test_a_cent_of_difference_is_a_fault() -> None:
    (fault,) = totals_faults(sent(), summary(2, 3981), summary(2, 3980))
    assert "differs" in fault
