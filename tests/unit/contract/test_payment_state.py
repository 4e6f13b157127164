"""The rules of the payment state, which keep a payment from being charged twice."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ProviderName,
)
from tollgate.contract.payment_state import (
    ACCEPTANCE_SECONDS_MAX,
    STORING_SECONDS_MAX,
    Ended,
    Open,
    PaymentState,
    Unrouted,
    evolve,
    is_late,
    may_be_repeat,
)
from tollgate.contract.timestamps import MICROSECONDS

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
REQUEST = PaymentRequested(ID, 1990, 1)
REJECTED = PaymentRejected(ID, 1990, "why")
PURGED = LedgerPurged("test", 1)


def routed(attempt: int = 1, provider: ProviderName = "default") -> PaymentRouted:
    return PaymentRouted(ID, 1990, attempt, provider, 1, "why")


def in_doubt(attempt: int = 1) -> PaymentInDoubt:
    return PaymentInDoubt(ID, attempt, "default", "why")


def released(attempt: int = 1) -> PaymentReleased:
    return PaymentReleased(ID, attempt, "default", "why")


def processed(attempt: int = 1) -> PaymentProcessed:
    return PaymentProcessed(ID, 1990, attempt, "default", 1, 2)


def after(*events: Event) -> PaymentState:
    """The payment state after these events, at the sequences 1, 2, …"""
    payment_state: PaymentState = Unrouted()
    for sequence, event in enumerate(events, start=1):
        payment_state = evolve(payment_state, sequence, event)
    return payment_state


def test_a_payment_begins_unrouted_with_attempt_one_next() -> None:
    assert after() == after(REQUEST) == Unrouted(1)


def test_an_intent_opens_its_attempt_where_it_lies() -> None:
    assert after(REQUEST, routed()) == Open(routed(), 2, in_doubt=False)


def test_the_first_intent_of_a_number_counts_and_later_ones_are_void() -> None:
    assert after(routed(), routed(1, "fallback")) == Open(routed(), 1)
    assert after(routed(), routed(2, "fallback")) == Open(routed(), 1)


@pytest.mark.parametrize("attempt", [1, 3, 4])
def test_an_intent_of_another_number_than_the_next_is_void(attempt: int) -> None:
    assert after(routed(), released(), routed(attempt)) == Unrouted(2)


def test_a_released_attempt_makes_room_for_the_next() -> None:
    assert after(routed(), released()) == Unrouted(2)
    assert after(routed(), released(), routed(2, "fallback")) == Open(routed(2, "fallback"), 3)


def test_a_doubt_is_for_good_until_the_end() -> None:
    doubted = Open(routed(), 1, in_doubt=True)
    assert after(routed(), in_doubt()) == doubted
    assert after(routed(), in_doubt(), released()) == doubted
    assert after(routed(), in_doubt(), in_doubt()) == doubted
    assert after(routed(), in_doubt(), routed(2)) == doubted
    assert after(routed(), in_doubt(), REJECTED) == doubted
    assert after(routed(), in_doubt(), released(), routed(2), released(2)) == doubted


def test_a_doubt_after_the_release_is_void() -> None:
    assert after(routed(), released(), in_doubt()) == Unrouted(2)
    assert after(routed(), released(), routed(2), in_doubt(1)) == Open(routed(2), 3)


def test_a_release_of_an_older_attempt_does_not_free_the_newer() -> None:
    assert after(routed(), released(), routed(2), released(1)) == Open(routed(2), 3)


@pytest.mark.parametrize("attempt", [2, 3])
def test_an_event_of_an_attempt_that_is_not_open_is_void(attempt: int) -> None:
    assert after(routed(), released(attempt)) == Open(routed(), 1)
    assert after(routed(), in_doubt(attempt)) == Open(routed(), 1)
    assert after(released(1)) == after(in_doubt(1)) == Unrouted(1)


@pytest.mark.parametrize(
    "before",
    [(), (routed(),), (routed(), in_doubt()), (routed(), released())],
    ids=["unrouted", "open", "in doubt", "released"],
)
def test_a_charge_ends_a_payment_in_any_state(before: Sequence[Event]) -> None:
    assert after(*before, processed()) == Ended()


@pytest.mark.parametrize("before", [(), (routed(),), (routed(), released())], ids=["unrouted", "open", "released"])
def test_a_rejection_ends_a_payment_that_is_not_in_doubt(before: Sequence[Event]) -> None:
    assert after(*before, REJECTED) == Ended()


RESOLUTION = ManualResolution("someone", "seen", 1)


def held(attempt: int = 1, provider: ProviderName = "default") -> PaymentInDoubt:
    return PaymentInDoubt(ID, attempt, provider, "held", RESOLUTION)


def released_by_resolution(attempt: int = 1, provider: ProviderName = "default") -> PaymentReleased:
    return PaymentReleased(ID, attempt, provider, "why", RESOLUTION)


def charged_by_resolution(attempt: int = 1, provider: ProviderName = "default") -> PaymentProcessed:
    return PaymentProcessed(ID, 1990, attempt, provider, 1, 2, RESOLUTION)


RESOLUTIONS = (held, released_by_resolution, charged_by_resolution)


def test_a_resolution_as_charged_ends_a_payment_in_doubt_held_or_not() -> None:
    assert after(routed(), in_doubt(), charged_by_resolution()) == Ended()
    assert after(routed(), in_doubt(), held(), charged_by_resolution()) == Ended()


def test_a_resolution_as_not_charged_is_valid_only_after_the_attempt_is_held() -> None:
    doubted = Open(routed(), 1, in_doubt=True)
    assert after(routed(), in_doubt(), released_by_resolution()) == doubted
    assert after(routed(), in_doubt(), held()) == Open(routed(), 1, in_doubt=True, is_held=True)
    assert after(routed(), in_doubt(), held(), released()) == Open(routed(), 1, in_doubt=True, is_held=True)
    assert after(routed(), in_doubt(), held(), released_by_resolution()) == Unrouted(2)


@pytest.mark.parametrize("resolve", RESOLUTIONS)
@pytest.mark.parametrize(
    "before", [(), (routed(),), (routed(), released()), (routed(), released(), routed(2))], ids=len
)
def test_an_operators_word_is_void_where_nothing_is_in_doubt(
    before: Sequence[Event], resolve: Callable[..., Event]
) -> None:
    for attempt in (1, 2):
        assert after(*before, resolve(attempt)) == after(*before)


@pytest.mark.parametrize("resolve", RESOLUTIONS)
@pytest.mark.parametrize(("attempt", "provider"), [(2, "default"), (1, "fallback")])
def test_an_operators_word_on_another_attempt_than_the_one_in_doubt_is_void(
    resolve: Callable[..., Event], attempt: int, provider: ProviderName
) -> None:
    for before in ((routed(), in_doubt()), (routed(), in_doubt(), held())):
        assert after(*before, resolve(attempt, provider)) == after(*before)


def test_a_rejection_of_a_released_attempt_is_no_word_on_the_next() -> None:
    late = PaymentRejected(ID, 1990, "why", 1)
    freed = (routed(), in_doubt(), held(), released_by_resolution())
    assert after(*freed, late) == Unrouted(2)
    assert after(*freed, routed(2), late) == Open(routed(2), 5)
    assert after(*freed, routed(2), PaymentRejected(ID, 1990, "why", 2)) == Ended()


events = st.one_of(
    st.builds(routed, st.integers(1, 4), st.sampled_from(["default", "fallback"])),
    st.builds(in_doubt, st.integers(1, 4)),
    st.builds(released, st.integers(1, 4)),
    st.just(processed()),
    st.just(REJECTED),
    st.builds(held, st.integers(1, 4), st.sampled_from(["default", "fallback"])),
    st.builds(released_by_resolution, st.integers(1, 4), st.sampled_from(["default", "fallback"])),
    st.builds(charged_by_resolution, st.integers(1, 4), st.sampled_from(["default", "fallback"])),
    st.builds(PaymentRejected, st.just(ID), st.just(1990), st.just("why"), st.integers(1, 4)),
)
ends = (PaymentProcessed, PaymentRejected)
logs = st.lists(events.filter(lambda event: not isinstance(event, ends)), max_size=20)


@given(logs, st.sampled_from([processed(), REJECTED]), st.lists(events))
def test_an_end_is_final(before: list[Event], end: Event, later: list[Event]) -> None:
    ended = after(*(event for event in before if not isinstance(event, PaymentInDoubt)), end)
    assert ended == Ended()
    for sequence, event in enumerate(later):
        assert evolve(ended, sequence, event) is ended


@given(logs, events)
def test_a_void_event_leaves_the_very_same_standing(log: list[Event], event: Event) -> None:
    payment_state = after(*log)
    evolved = evolve(payment_state, len(log) + 1, event)
    assert evolved is payment_state or evolved != payment_state


@given(logs)
def test_attempts_count_up_by_one_and_only_past_a_release(log: list[Event]) -> None:
    payment_state: PaymentState = Unrouted()
    for sequence, event in enumerate(log, start=1):
        before, payment_state = payment_state, evolve(payment_state, sequence, event)
        if before is payment_state:
            continue
        match before, payment_state:
            case Unrouted(number), Open(attempt, opened_at, in_doubt=False):
                assert (attempt.attempt, opened_at, event) == (number, sequence, attempt)
            case Open(attempt, in_doubt=False), Unrouted(number):
                assert isinstance(event, PaymentReleased)
                assert event.resolution is None
                assert number == attempt.attempt + 1
            case Open(attempt, is_held=True), Unrouted(number):
                assert isinstance(event, PaymentReleased)
                assert event.resolution is not None
                assert number == attempt.attempt + 1
            case Open(attempt, opened_at, in_doubt=True, is_held=False), Open(same, still_at, is_held=True):
                assert isinstance(event, PaymentInDoubt)
                assert event.resolution is not None
                assert (attempt, opened_at) == (same, still_at)
            case Open(attempt, opened_at, in_doubt=False), Open(same, still_at, in_doubt=True):
                assert isinstance(event, PaymentInDoubt)
                assert (attempt, opened_at) == (same, still_at)
            case _:
                raise AssertionError(f"{before} became {payment_state} by {event}")


@given(st.lists(events, max_size=20))
def test_an_event_that_is_stored_twice_in_a_row_changes_nothing_the_second_time(log: list[Event]) -> None:
    payment_state: PaymentState = Unrouted()
    for sequence, event in enumerate(log, start=1):
        payment_state = evolve(payment_state, sequence, event)
        assert evolve(payment_state, sequence + 1, event) is payment_state


@pytest.mark.parametrize("event", [REQUEST, PURGED])
@pytest.mark.parametrize("payment_state", [Unrouted(2), Open(routed(), 1), Open(routed(), 1, in_doubt=True), Ended()])
def test_what_is_no_word_on_an_attempt_leaves_a_payment_as_it_stands(event: Event, payment_state: PaymentState) -> None:
    assert evolve(payment_state, 9, event) is payment_state


@pytest.mark.parametrize(
    ("seconds", "is_possible"),
    [
        (0, False),
        (5, False),
        (ACCEPTANCE_SECONDS_MAX, False),
        (-ACCEPTANCE_SECONDS_MAX, False),
        (60, True),
        (-60, True),
    ],
)
def test_a_request_that_was_stored_long_after_its_acceptance_may_be_a_repeat(seconds: int, is_possible: bool) -> None:
    request = PaymentRequested(ID, 1990, 1_750_000_000_000_000)
    assert may_be_repeat(request, request.accepted_at_us + seconds * MICROSECONDS) is is_possible
    edge = ACCEPTANCE_SECONDS_MAX * MICROSECONDS + 1
    assert may_be_repeat(request, request.accepted_at_us + edge)
    assert may_be_repeat(request, request.accepted_at_us - edge)


@pytest.mark.parametrize(("late_us", "expected"), [(-5, False), (0, False), (1, True), (3_600 * MICROSECONDS, True)])
def test_an_intent_is_late_when_it_was_stored_more_than_a_second_after_its_stamp(
    late_us: int,
    expected: bool,
) -> None:
    stored_at_us = routed().requested_at_us + STORING_SECONDS_MAX * MICROSECONDS + late_us
    assert is_late(routed(), stored_at_us) is expected


@pytest.mark.parametrize("event", [REQUEST, in_doubt(), released(), processed(), REJECTED, PURGED])
def test_nothing_else_is_late(event: Event) -> None:
    assert not is_late(event, 3_600 * MICROSECONDS)
