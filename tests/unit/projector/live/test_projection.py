"""Rows are a function of the log alone, wherever reading begins and however often events are repeated."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.projector.payment_histories import LATE_US, PAYMENTS, Stored, logs, logs_with_repeats, stored
from tollgate.contract.events import (
    Event,
    LedgerPurged,
    ManualResolution,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.payment_state import Open, PaymentState, Unrouted
from tollgate.contract.read_model_api import DOUBTS_MAX, SEQUENCES_MAX, DoubtView
from tollgate.projector.live import projection
from tollgate.projector.live.projection import (
    Change,
    Cleared,
    EndedAs,
    OpenPayment,
    Projection,
    RejectedRow,
    SettledRow,
    Unread,
)

PAYMENT, OTHER, THIRD, FOURTH = PAYMENTS
REQUESTED = PaymentRequested(PAYMENT, 1990, 7)
ROUTED = PaymentRouted(PAYMENT, 1990, 1, "default", 11, "why")
IN_DOUBT = PaymentInDoubt(PAYMENT, 1, "default", "why")
RELEASED = PaymentReleased(PAYMENT, 1, "default", "why")
PROCESSED = PaymentProcessed(PAYMENT, 1990, 1, "default", 11, 22)
REJECTED = PaymentRejected(PAYMENT, 1990, "why")
PURGED = LedgerPurged("test", 33)
RESOLUTION = ManualResolution("someone", "seen", 55)
HELD, RELEASED_BY_RESOLUTION, PROCESSED_BY_RESOLUTION = (
    replace(one, resolution=RESOLUTION) for one in (IN_DOUBT, RELEASED, PROCESSED)
)


RECENTLY_ENDED_MAX = 1
"""So small that what is true of a long log shows in a short one."""


@pytest.fixture(autouse=True, scope="module")
def _short_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "RECENTLY_ENDED_MAX", RECENTLY_ENDED_MAX)
        yield


def _kind(row: SettledRow | RejectedRow) -> EndedAs:
    return "settled" if isinstance(row, SettledRow) else "rejected"


@dataclass
class ReadModel:
    """A projection and the rows that it made; the rows are what a store would hold."""

    rows: list[SettledRow | RejectedRow] = field(default_factory=list)
    before_change: Callable[[str, OpenPayment], None] = lambda _correlation_id, _payment: None
    projection: Projection = field(init=False)

    def __post_init__(self) -> None:
        ended = [(row.correlation_id, _kind(row)) for row in sorted(self.rows, key=_kind)]
        self.projection = Projection(self._ended_as, ended[-RECENTLY_ENDED_MAX:], before_change=self._note_change)

    def _note_change(self, correlation_id: str, payment: OpenPayment) -> None:
        self.before_change(correlation_id, payment)

    def _ended_as(self, correlation_id: str) -> EndedAs | None:
        kinds = {_kind(row) for row in self.rows if row.correlation_id == correlation_id}
        return max(kinds, default=None)

    def read(self, log: Sequence[Stored], *, position: int = 0) -> list[Change]:
        """Reads the log; everything up to `position` is in the rows already. The changes that it made."""
        changes: list[Change] = []
        for one in log:
            is_replay = one.sequence <= position
            change = self.projection.apply(one.sequence, one.event, one.stored_at_us, is_replay=is_replay)
            if change is None or is_replay:
                continue
            changes.append(change)
            if isinstance(change, Cleared):
                self.rows.clear()
            elif not isinstance(change, Unread):
                self.rows.append(change)
        return changes

    @property
    def memory(self) -> tuple[list[tuple[str, OpenPayment]], dict[str, Open]]:
        """What is held in memory: open payments in their order, and open attempts."""
        return list(self.projection.open.items()), self.projection.open_attempts

    @property
    def meaning(self) -> tuple[object, ...]:
        """Rows and memory without the places of events in the log: the rows of each payment in their order.

        A manual resolution that was void may take effect when it is said again, before other payments end.
        """
        rows = sorted((replace(row, sequences=[]) for row in self.rows), key=lambda row: row.correlation_id)
        payments = {
            payment: (known.amount_cents, known.accepted_at_us, _without_place(known.payment_state))
            for payment, known in self.projection.open.items()
        }
        attempts = {payment: _without_place(attempt) for payment, attempt in self.projection.open_attempts.items()}
        return rows, payments, attempts


def _without_place(payment_state: object) -> object:
    return replace(payment_state, sequence=0) if isinstance(payment_state, Open) else payment_state


def read(log: Sequence[Stored]) -> ReadModel:
    model = ReadModel()
    model.read(log)
    return model


def test_a_charged_payment_becomes_a_row_that_names_its_events() -> None:
    model = read(stored([REQUESTED, ROUTED, IN_DOUBT, PROCESSED]))
    assert model.rows == [SettledRow(PAYMENT, "default", 1990, 11, 22, 1, [1, 2, 3, 4])]
    assert model.memory == ([], {})


def test_a_rejected_payment_becomes_a_row_that_names_its_events() -> None:
    model = read(stored([REQUESTED, ROUTED, REJECTED]))
    assert model.rows == [RejectedRow(PAYMENT, 1990, "why", [1, 2, 3])]
    assert model.memory == ([], {})


def test_a_payment_that_has_not_ended_is_in_memory_as_it_stands() -> None:
    model = ReadModel()
    expected: list[tuple[Event, PaymentState]] = [
        (REQUESTED, Unrouted(1)),
        (ROUTED, Open(ROUTED, 2)),
        (RELEASED, Unrouted(2)),
        (replace(ROUTED, attempt=2), Open(replace(ROUTED, attempt=2), 4)),
        (replace(IN_DOUBT, attempt=2), Open(replace(ROUTED, attempt=2), 4, in_doubt=True)),
    ]
    for sequence, (event, payment_state) in enumerate(expected, start=1):
        assert model.read([Stored(sequence, event, 7)]) == []
        doubt = (7, "why") if isinstance(payment_state, Open) and payment_state.in_doubt else (0, "")
        assert model.projection.open == {
            PAYMENT: OpenPayment(1990, 7, 7, list(range(1, sequence + 1)), payment_state, *doubt)
        }
        assert model.projection.open_attempts == ({PAYMENT: payment_state} if isinstance(payment_state, Open) else {})


def test_a_charge_is_a_row_even_when_its_request_is_not_known() -> None:
    assert read([Stored(9, PROCESSED)]).rows == [SettledRow(PAYMENT, "default", 1990, 11, 22, 1, [9])]


def test_a_charge_is_a_row_even_when_the_payment_was_rejected_before_and_is_one_row_only() -> None:
    model = read(stored([REQUESTED, REJECTED, PROCESSED, PROCESSED]))
    assert [type(row) for row in model.rows] == [RejectedRow, SettledRow]


def test_a_charge_that_is_recorded_again_long_after_makes_no_second_row() -> None:
    others = [replace(PROCESSED, correlation_id=payment) for payment in (OTHER, THIRD)]
    model = read(stored([REQUESTED, ROUTED, PROCESSED, *others, PROCESSED, PROCESSED]))
    assert [row.correlation_id for row in model.rows] == [PAYMENT, OTHER, THIRD]


def test_a_rejection_of_an_attempt_in_doubt_is_void() -> None:
    model = read(stored([REQUESTED, ROUTED, IN_DOUBT, REJECTED]))
    assert model.rows == []
    assert model.projection.open_attempts == {PAYMENT: Open(ROUTED, 2, in_doubt=True)}


@pytest.mark.parametrize("event", [ROUTED, IN_DOUBT, RELEASED, REJECTED], ids=lambda event: type(event).__name__)
def test_any_other_word_on_a_payment_that_is_not_known_leaves_no_trace(event: PaymentRouted) -> None:
    model = read([Stored(9, event)])
    assert (model.rows, model.memory) == ([], ([], {}))


def test_a_purge_voids_rows_and_memory() -> None:
    model = ReadModel()
    log = stored([REQUESTED, ROUTED, replace(REQUESTED, correlation_id=OTHER), PROCESSED, PURGED])
    changes = model.read(log)
    assert changes[-1] == Cleared(len(log))
    assert (model.rows, model.memory) == ([], ([], {}))
    assert model.projection.oldest_open_sequence() is None


@given(logs(), logs())
def test_after_a_purge_it_is_as_if_nothing_had_been_before(before: list[Stored], after: list[Stored]) -> None:
    start = len(before) + 1
    later = [replace(one, sequence=start + one.sequence) for one in after]
    purged = read([*before, Stored(start, PURGED), *later])
    fresh = read(later)
    assert (purged.rows, purged.memory) == (fresh.rows, fresh.memory)


@given(logs())
def test_rows_are_the_same_however_payments_are_interleaved(log: list[Stored]) -> None:
    together = read(log)
    for payment in PAYMENTS:
        alone = read([one for one in log if one.correlation_id == payment])
        assert alone.rows == [row for row in together.rows if row.correlation_id == payment]
        assert alone.projection.open.get(payment) == together.projection.open.get(payment)
        assert alone.projection.open_attempts.get(payment) == together.projection.open_attempts.get(payment)


@given(logs())
def test_every_payment_is_open_or_has_exactly_one_row(log: list[Stored]) -> None:
    model = read(log)
    known = [row.correlation_id for row in model.rows] + list(model.projection.open)
    requested = [one.event.correlation_id for one in log if isinstance(one.event, PaymentRequested)]
    assert sorted(known) == sorted(requested)
    assert set(model.projection.open_attempts) <= set(model.projection.open)


@given(logs_with_repeats())
def test_whatever_is_said_again_changes_nothing(pair: tuple[list[Stored], list[Stored]]) -> None:
    log, repeated = pair
    assert read(repeated).meaning == read(log).meaning


def test_a_request_that_is_stored_again_after_the_charge_does_not_open_the_payment_again() -> None:
    model = read([*stored([REQUESTED, ROUTED, PROCESSED]), Stored(4, REQUESTED, 7 + LATE_US)])
    assert model.memory == ([], {})


def test_a_request_that_is_stored_again_after_the_rejection_does_not_open_the_payment_again() -> None:
    model = read([*stored([REQUESTED, ROUTED, REJECTED]), Stored(4, REQUESTED, 7 + LATE_US)])
    assert model.memory == ([], {})


def replayed(log: Sequence[Stored], cut: int) -> tuple[ReadModel, ReadModel]:
    """A read model that has read up to the cut, and one that was started there anew, from the checkpoint's rows."""
    live = read(log[:cut])
    oldest = live.projection.oldest_open_sequence()
    started = ReadModel(list(live.rows))
    started.read(log[(cut if oldest is None else oldest - 1) : cut], position=cut)
    return live, started


@given(logs(), st.data())
def test_a_restart_at_any_point_remembers_what_was_known_and_goes_on_alike(
    log: list[Stored], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(log)))
    live, started = replayed(log, cut)
    assert (started.rows, started.memory) == (live.rows, live.memory)
    assert started.read(log[cut:]) == live.read(log[cut:])
    assert (started.rows, started.memory) == (live.rows, live.memory)


@given(logs_with_repeats(), st.data())
def test_a_restart_at_any_point_of_a_log_with_repeats_remembers_what_was_known_and_goes_on_alike(
    pair: tuple[list[Stored], list[Stored]], data: st.DataObject
) -> None:
    log = pair[1]
    cut = data.draw(st.just(len(log)) | st.integers(0, len(log)))
    live, started = replayed(log, cut)
    assert (started.rows, started.memory) == (live.rows, live.memory)
    assert started.read(log[cut:]) == live.read(log[cut:])
    assert (started.rows, started.memory) == (live.rows, live.memory)


def test_a_restart_does_not_open_a_charged_payment_again_whose_request_was_stored_twice() -> None:
    other, third = (replace(PROCESSED, correlation_id=payment) for payment in (OTHER, THIRD))
    pending = replace(REQUESTED, correlation_id=FOURTH)
    log = [*stored([REQUESTED, ROUTED, PROCESSED, pending, other, third]), Stored(7, REQUESTED, 7 + LATE_US)]
    live, started = replayed(log, 7)
    assert list(live.projection.open) == [FOURTH]
    assert list(started.projection.open) == [FOURTH]


@given(logs())
def test_the_oldest_open_payment_is_where_replay_has_to_begin(log: list[Stored]) -> None:
    model = read(log)
    firsts = [payment.sequences[0] for payment in model.projection.open.values()]
    assert model.projection.oldest_open_sequence() == (min(firsts) if firsts else None)


def test_so_many_events_of_a_payment_are_remembered_the_first_and_the_latest() -> None:
    model = read(stored([REQUESTED, ROUTED, *[IN_DOUBT] * 200]))
    sequences = model.projection.open[PAYMENT].sequences
    assert sequences == [1, *range(202 - SEQUENCES_MAX + 2, 203)]
    assert len(sequences) == SEQUENCES_MAX


def test_up_to_the_bound_every_event_is_remembered() -> None:
    model = read(stored([REQUESTED, ROUTED, *[IN_DOUBT] * (SEQUENCES_MAX - 2)]))
    assert model.projection.open[PAYMENT].sequences == list(range(1, SEQUENCES_MAX + 1))


@pytest.mark.parametrize(
    ("from_us", "to_us", "found"),
    [
        (None, None, [PAYMENT, OTHER, THIRD]),
        (10, 30, [PAYMENT, OTHER, THIRD]),
        (20, 20, [OTHER]),
        (11, 29, [OTHER]),
        (10, 29, [PAYMENT, OTHER]),
        (11, 30, [OTHER, THIRD]),
        (None, 10, [PAYMENT]),
        (30, None, [THIRD]),
        (31, None, []),
        (None, 9, []),
    ],
)
def test_both_bounds_of_a_window_of_open_attempts_are_inclusive(
    from_us: int | None, to_us: int | None, found: list[str]
) -> None:
    model = ReadModel()
    for index, (payment, stamp) in enumerate(((PAYMENT, 10), (OTHER, 20), (THIRD, 30))):
        model.read([Stored(2 * index + 1, replace(REQUESTED, correlation_id=payment), 7)])
        model.read([Stored(2 * index + 2, replace(ROUTED, correlation_id=payment, requested_at_us=stamp))])
    model.read([Stored(9, replace(REQUESTED, correlation_id=FOURTH), 7)])
    assert list(model.projection.attempts_in(from_us, to_us)) == [(payment, 1) for payment in found]


def test_an_answer_is_due_from_the_intent_to_the_outcome_but_not_in_doubt() -> None:
    model = ReadModel()
    is_due = []
    for one in stored(
        [REQUESTED, ROUTED, RELEASED, replace(ROUTED, attempt=2), replace(IN_DOUBT, attempt=2), PROCESSED]
    ):
        model.read([one])
        is_due.append([model.projection.is_answer_due(PAYMENT, attempt, ROUTED.requested_at_us) for attempt in (1, 2)])
    assert is_due == [[False, False], [True, False], [False, False], [False, True], [False, False], [False, False]]
    assert not model.projection.is_answer_due(OTHER, 1, ROUTED.requested_at_us)


def test_no_answer_is_due_before_the_providers_delay_has_passed() -> None:
    model = ReadModel()
    model.projection.delays.observe(ROUTED.provider, ROUTED.requested_at_us, ROUTED.requested_at_us + 50)
    model.read(stored([REQUESTED, ROUTED]))
    assert not model.projection.is_answer_due(PAYMENT, 1, ROUTED.requested_at_us + 49)
    assert model.projection.is_answer_due(PAYMENT, 1, ROUTED.requested_at_us + 50)


def test_an_operators_word_settles_a_doubt_like_the_processors_answer() -> None:
    model = ReadModel()
    model.read(stored([REQUESTED, ROUTED, IN_DOUBT]))
    assert model.read([Stored(4, PROCESSED_BY_RESOLUTION)]) == [
        SettledRow(PAYMENT, "default", 1990, 11, 22, 1, [1, 2, 3, 4])
    ]
    assert not model.projection.open


@pytest.mark.parametrize("before", [[], [ROUTED], [ROUTED, RELEASED]], ids=len)
def test_an_operators_word_on_what_is_not_in_doubt_settles_nothing(before: list[Event]) -> None:
    model = ReadModel()
    model.read(stored([REQUESTED, *before]))
    payment_state = model.projection.open[PAYMENT].payment_state
    assert model.read([Stored(9, PROCESSED_BY_RESOLUTION)]) == []
    assert model.projection.open[PAYMENT].payment_state == payment_state
    assert model.projection.open[PAYMENT].sequences[-1] == 9, "it is a part of the history all the same"


def test_an_operators_word_on_a_payment_that_has_ended_adds_no_row() -> None:
    for ended in (PROCESSED, REJECTED):
        model = ReadModel()
        model.read(stored([REQUESTED, ROUTED, ended]))
        assert model.read([Stored(9, PROCESSED_BY_RESOLUTION)]) == []


def test_a_doubt_has_its_time_its_reason_and_whether_it_is_held() -> None:
    model = ReadModel()
    model.read(stored([REQUESTED, ROUTED]))
    model.read([Stored(3, IN_DOUBT, 44), Stored(4, replace(IN_DOUBT, why="again"), 45)])
    doubt = DoubtView(PAYMENT, 1990, "default", 1, 11, 44, "why")
    assert model.projection.in_doubt() == (1, [doubt])
    model.read([Stored(5, HELD, 50)])
    assert model.projection.in_doubt() == (1, [replace(doubt, is_held=True)])
    model.read([Stored(6, RELEASED_BY_RESOLUTION, 60)])
    assert model.projection.in_doubt() == (0, [])


def test_the_oldest_doubts_are_listed_and_the_rest_is_counted() -> None:
    model = ReadModel()
    ids = [f"00000000-0000-4000-9000-{number:012d}" for number in range(DOUBTS_MAX + 5)]
    for number, payment in enumerate(ids):
        about = [replace(one, correlation_id=payment) for one in (REQUESTED, ROUTED, IN_DOUBT)]
        # The later it comes in the log, the older: the broker's clock was set.
        model.read([Stored(3 * number + index, event, 1_000 - number) for index, event in enumerate(about, start=1)])
    count, doubts = model.projection.in_doubt()
    assert count == DOUBTS_MAX + 5
    assert [doubt.correlation_id for doubt in doubts] == ids[:4:-1]
