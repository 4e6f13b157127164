"""The fold that the read model is checked against: it shares no code with the projection, and must agree with it."""

from collections.abc import Sequence

from hypothesis import given, settings

from tests.unit.projector.payment_histories import LATE_US, PAYMENTS, Stored, logs, logs_with_repeats, stored
from tollgate.contract.events import (
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.expected_ledger import Ledger
from tollgate.projector.live.projection import Cleared, EndedAs, Projection, RejectedRow, SettledRow

ID = PAYMENTS[0]
Account = tuple[dict[str, tuple[str, int, int]], dict[str, str], set[str]]
"""Settled payments with provider, cents and stamp; rejected ones with the reason; open ones."""


def by_ledger(log: Sequence[Stored]) -> Account:
    ledger = Ledger()
    settled: dict[str, tuple[str, int, int]] = {}
    rejected: dict[str, str] = {}
    for one in log:
        if not ledger.apply(one.sequence, one.event):
            continue
        match one.event:
            case PaymentProcessed(correlation_id, cents, _, provider, stamp_us):
                assert correlation_id not in settled
                settled[correlation_id] = (provider, cents, stamp_us)
            case PaymentRejected(correlation_id, _, reason):
                assert correlation_id not in rejected
                rejected[correlation_id] = reason
            case _:
                settled, rejected = {}, {}
    return settled, rejected, set(ledger.unfinished)


def by_projection(log: Sequence[Stored]) -> Account:
    settled: dict[str, tuple[str, int, int]] = {}
    rejected: dict[str, str] = {}

    def ended_as(correlation_id: str) -> EndedAs | None:
        return "settled" if correlation_id in settled else "rejected" if correlation_id in rejected else None

    projection = Projection(ended_as)
    for one in log:
        match projection.apply(one.sequence, one.event, one.stored_at_us):
            case SettledRow() as row:
                settled[row.correlation_id] = (row.provider, row.amount_cents, row.requested_at_us)
            case RejectedRow() as row:
                rejected[row.correlation_id] = row.reason
            case Cleared():
                settled, rejected = {}, {}
    return settled, rejected, set(projection.open)


@given(logs())
@settings(max_examples=200)
def test_it_agrees_with_the_projection(log: list[Stored]) -> None:
    assert by_ledger(log) == by_projection(log)


@given(logs_with_repeats())
@settings(max_examples=200)
def test_it_agrees_with_the_projection_where_events_are_repeated(both: tuple[list[Stored], list[Stored]]) -> None:
    log, repeated = both
    assert by_ledger(repeated) == by_projection(repeated)
    assert by_ledger(repeated) == by_ledger(log)


def test_a_purge_voids_what_was_before_it() -> None:
    requested, processed = PaymentRequested(ID, 5, 0), PaymentProcessed(ID, 5, 1, "default", 1, 2)
    log = stored([requested, processed, PaymentRequested(PAYMENTS[1], 5, 0), LedgerPurged("test", 3)])
    assert by_ledger(log) == ({}, {}, set())
    assert by_ledger([*log, Stored(5, requested, LATE_US), Stored(6, processed)])[0] == {ID: ("default", 5, 1)}


def test_an_attempt_in_doubt_is_not_rejected() -> None:
    log = stored(
        [
            PaymentRequested(ID, 5, 0),
            PaymentRouted(ID, 5, 1, "default", 1, "why"),
            PaymentInDoubt(ID, 1, "default", "why"),
            PaymentRejected(ID, 5, "why"),
        ]
    )
    assert by_ledger(log) == ({}, {}, {ID})
