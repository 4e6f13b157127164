"""Each column of the verdict, from a history made by hand."""

from dataclasses import replace
from datetime import timedelta

import pytest

from qa.chaos.check import COLUMNS, Ledger, judge, summed
from qa.chaos.clock import moment_of, us_of
from qa.chaos.history import Asked, History, Logged, Outcome, Purpose, Request, Settled, Try
from qa.chaos.timeline import timeline_of
from qa.load.provider_records import Entry, Summary, Totals
from qa.load.window import Window
from tollgate.contract.events import (
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)

T0 = 1_795_258_780_000_000
SECOND = 1_000_000
A, B = "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"


def wish(
    payment_id: str = A, cents: int = 100, outcome: Outcome = "ok", status: int | None = 202, purpose: Purpose = "first"
) -> Request:
    return Request(payment_id, cents, purpose, [Try(T0, T0 + 1_000, status)], outcome)


def entry(payment_id: str = A, cents: int = 100, at_us: int = T0) -> Entry:
    return Entry(payment_id, cents, moment_of(at_us))


def requested(payment_id: str = A, cents: int = 100) -> PaymentRequested:
    return PaymentRequested(payment_id, cents, T0)


def routed(attempt: int = 1) -> PaymentRouted:
    return PaymentRouted(A, 100, attempt, "default", T0, "it is there")


def processed(payment_id: str = A, cents: int = 100, at_us: int = T0) -> PaymentProcessed:
    return PaymentProcessed(payment_id, cents, 1, "default", at_us, at_us + 5)


def log_of(*events: Event, after_us: int = 10) -> list[Logged]:
    return [Logged(number, T0 + number * after_us, event) for number, event in enumerate(events, start=1)]


def row(payment_id: str = A, cents: int = 100, at_us: int = T0, provider: str = "default") -> Settled:
    return Settled(payment_id, provider, cents, at_us)


def clean() -> History:
    """One payment, charged once, known alike to everybody."""
    return History(
        requests=[wish()],
        log=log_of(requested(), routed(), processed()),
        provider_records={"default": [entry()], "fallback": []},
        rows=[row()],
        final=Summary(Totals(1, 100), Totals()),
    )


def broken(history: History, *, converged: bool = True) -> set[str]:
    verdict = judge(history, converged=converged)
    assert verdict.clean is not any(verdict.counts().values())
    return {name for name, count in verdict.counts().items() if count}


def test_a_payment_that_is_equal_in_all_sources_is_clean() -> None:
    assert broken(clean()) == set()


def test_a_summary_that_does_not_settle_after_every_payment_has_ended_is_an_offence() -> None:
    history = clean()
    history.is_unsettled = True
    assert broken(history) == {"summary"}


def test_a_payment_whose_clients_learned_nothing_may_be_there_or_not() -> None:
    history = clean()
    history.requests = [wish(outcome="unknown", status=None)]
    assert broken(history) == set()
    nothing = History(requests=history.requests, provider_records={}, rows=[], final=Summary(Totals(), Totals()))
    assert broken(nothing) == set()


def test_a_payment_that_was_refused_for_good_has_ended_and_is_not_lost() -> None:
    history = History(
        refusals={"default": [A]},
        requests=[wish()],
        log=log_of(requested(), routed(), PaymentRejected(A, 100, "403")),
        provider_records={},
        rows=[],
        rejected_rows=[A],
        final=Summary(Totals(), Totals()),
    )
    assert broken(history) == set()


def _not_in_the_log(history: History) -> None:
    history.log, history.provider_records, history.rows = [], {}, []
    history.final = Summary(Totals(), Totals())


def _in_no_record(history: History) -> None:
    history.provider_records, history.final = {}, Summary(Totals(), Totals())


def _in_both_records(history: History) -> None:
    history.provider_records = {"default": [entry()], "fallback": [entry()]}
    history.final = summed(history.provider_records)


def _unasked_charge(history: History) -> None:
    history.provider_records = {"default": [entry(), entry(B)]}
    history.log = log_of(requested(), processed(), requested(B), processed(B))
    history.rows, history.final = [row(), row(B)], summed(history.provider_records)


def _other_amount_charged(history: History) -> None:
    history.provider_records, history.final = {"default": [entry(cents=101)]}, Summary(Totals(1, 101), Totals())


def _other_amount_recorded(history: History) -> None:
    history.log, history.rows = log_of(requested(cents=101), processed(cents=101)), [row(cents=101)]


def _two_amounts_accepted(history: History) -> None:
    history.requests = [wish(), wish(cents=101, purpose="conflict")]


def _refused_and_charged(history: History) -> None:
    history.requests = [wish(outcome="refused", status=422)]


def _refused_and_accepted(history: History) -> None:
    history.requests = [wish(), wish(outcome="refused", status=409, purpose="repeat")]


def _at_the_other_provider(history: History) -> None:
    history.provider_records = {"fallback": [entry()]}
    history.final = summed(history.provider_records)


def _rejected_and_charged(history: History) -> None:
    history.log, history.rows = log_of(requested(), routed(), PaymentRejected(A, 100, "403")), []
    history.rejected_rows, history.refusals = [A], {"default": [A]}


def _rejected_and_refused_by_nobody(history: History) -> None:
    """A proxy's 403 is not the processor's word."""
    history.log, history.rows = log_of(requested(), routed(), PaymentRejected(A, 100, "403")), []
    history.rejected_rows, history.refusals = [A], {"default": [B]}
    history.provider_records, history.final = {}, Summary(Totals(), Totals())


def _charged_and_not_recorded(history: History) -> None:
    history.log, history.rows = log_of(requested(), routed()), []


def _another_stamp(history: History) -> None:
    history.provider_records = {"default": [entry(at_us=T0 + 1)]}


def _another_summary(history: History) -> None:
    history.final = Summary(Totals(1, 100), Totals(1, 5))


def _no_summary(history: History) -> None:
    history.final = None


def _a_row_twice(history: History) -> None:
    history.rows = [row(), row()]


def _a_row_of_another_stamp(history: History) -> None:
    history.rows = [row(at_us=T0 + 1)]


def _a_rejection_only_in_the_rows(history: History) -> None:
    history.rejected_rows = [B]


def _no_rows(history: History) -> None:
    history.rows = None


def _forgotten(history: History) -> None:
    history.forgotten = [A]


def _still_pending(history: History) -> None:
    history.log, history.rows, history.provider_records = log_of(requested()), [], {}
    history.final = Summary(Totals(), Totals())


@pytest.mark.parametrize(
    ("harm", "columns"),
    [
        (_not_in_the_log, {"lost"}),
        (_in_no_record, {"lost", "unrecorded"}),
        (_in_both_records, {"charged twice"}),
        (_unasked_charge, {"invented"}),
        (_other_amount_charged, {"wrong amount"}),
        (_other_amount_recorded, {"wrong amount"}),
        (_two_amounts_accepted, {"conflict accepted"}),
        (_refused_and_charged, {"refused"}),
        (_refused_and_accepted, {"refused"}),
        (_at_the_other_provider, {"wrong processor"}),
        (_rejected_and_charged, {"rejected, charged"}),
        (_rejected_and_refused_by_nobody, {"rejected, unfounded"}),
        (_charged_and_not_recorded, {"unrecorded", "not ended"}),
        (_another_stamp, {"requestedAt"}),
        (_another_summary, {"summary"}),
        (_no_summary, {"summary"}),
        (_a_row_twice, {"read model"}),
        (_a_row_of_another_stamp, {"read model"}),
        (_a_rejection_only_in_the_rows, {"read model"}),
        (_no_rows, {"read model"}),
        (_forgotten, {"forgotten"}),
        (_still_pending, {"not ended"}),
    ],
)
def test_each_harm_shows_in_its_columns_and_in_no_other(harm: object, columns: set[str]) -> None:
    history = clean()
    harm(history)  # type: ignore[operator]
    assert broken(history) == columns


def asked(end_us: int, asked_at_us: int, *, settled: bool, count: int) -> Asked:
    window = Window(moment_of(T0 - SECOND), moment_of(end_us))
    return Asked(window, asked_at_us, 200, Summary(Totals(count, count * 100), Totals()), settled)


@pytest.mark.parametrize(
    ("question", "columns"),
    [
        (asked(T0 + SECOND, T0 + 3 * SECOND, settled=True, count=1), set()),
        (asked(T0 + SECOND, T0 + 3 * SECOND, settled=True, count=0), {"settled, changed"}),
        (asked(T0 + SECOND, T0 + 3 * SECOND, settled=False, count=0), set()),
        # Too early to be a promise.
        (asked(T0 + SECOND, T0 + 3 * SECOND // 2, settled=True, count=0), set()),
        # The payment was stamped later.
        (asked(T0 - 1, T0 + 3 * SECOND, settled=True, count=0), set()),
    ],
)
def test_a_settled_window_that_had_passed_is_final(question: Asked, columns: set[str]) -> None:
    history = clean()
    history.asked = [question]
    assert broken(history) == columns


def test_a_payment_whose_id_was_charged_with_another_amount_is_rightly_rejected() -> None:
    history = clean()
    _rejected_and_refused_by_nobody(history)
    history.provider_records = {"default": [entry(cents=101)]}
    assert "rejected, unfounded" not in broken(history, converged=False)


def test_what_a_run_did_not_wait_for_is_no_offence() -> None:
    history = clean()
    history.log, history.rows, history.final = log_of(requested(), routed()), None, None
    assert broken(history, converged=False) == set()
    history.provider_records = {"default": [entry()], "fallback": [entry()]}
    assert broken(history, converged=False) == {"charged twice"}


def test_every_column_is_provoked_here() -> None:
    tests = (test_each_harm_shows_in_its_columns_and_in_no_other, test_a_settled_window_that_had_passed_is_final)
    marks = [mark for test in tests for mark in getattr(test, "pytestmark")]  # noqa: B009 - pytest adds it
    provoked = {column for mark in marks for case in mark.args[1] for column in case[1]}
    assert provoked == set(COLUMNS)


def test_the_ledger_passes_over_what_is_void() -> None:
    in_doubt = PaymentInDoubt(A, 1, "default", "timeout")
    released = PaymentReleased(A, 1, "default", "not charged")
    rejected = PaymentRejected(A, 100, "403")
    assert Ledger.of(History(log=log_of(requested(), routed(), in_doubt, released, rejected))).state(A) == "in doubt"
    assert Ledger.of(History(log=log_of(requested(), routed(), released, routed()))).state(A) == "pending"
    assert Ledger.of(History(log=log_of(requested(), routed(), released, routed(2)))).state(A) == "routed"
    assert Ledger.of(History(log=log_of(requested(), routed(), rejected, in_doubt))).state(A) == "rejected"


def test_a_timeline_has_everything_about_the_payment_in_order() -> None:
    history = clean()
    history.requests = [*history.requests, replace(wish(B), tries=[])]
    history.asked = [asked(T0, T0, settled=True, count=1)]
    lines = timeline_of(history, A)
    assert [line.split()[1] for line in lines[1:-1]] == ["book", "client", "log", "log", "log", "client"]
    assert "read model" in lines[-1]
    assert not any(B in line for line in lines)


def test_times_survive_both_ways() -> None:
    assert us_of(moment_of(T0 + 7)) == T0 + 7
    assert moment_of(T0 + SECOND) - moment_of(T0) == timedelta(seconds=1)
