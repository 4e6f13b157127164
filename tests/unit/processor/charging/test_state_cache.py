"""The state cache: each of its answers is the state that follows from the log, or none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.contract.events import (
    Event,
    LedgerPurged,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.payment_state import Ended, Open, PaymentState, Unrouted, evolve
from tollgate.processor.charging import history
from tollgate.processor.charging.state_cache import StateCache
from tollgate.runtime.bloom_set import BloomSet

PAYMENT, OTHER, THIRD = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))


def routed(payment: str, attempt: int = 1) -> PaymentRouted:
    return PaymentRouted(payment, 1990, attempt, "default", 1_000_000 + attempt, "why")


def processed(payment: str, attempt: int = 1) -> PaymentProcessed:
    return PaymentProcessed(payment, 1990, attempt, "default", 1_000_000 + attempt, 2_000_000)


def in_doubt(payment: str, attempt: int = 1) -> PaymentInDoubt:
    return PaymentInDoubt(payment, attempt, "default", "why")


def released(payment: str, attempt: int = 1) -> PaymentReleased:
    return PaymentReleased(payment, attempt, "default", "why")


def rejected(payment: str) -> PaymentRejected:
    return PaymentRejected(payment, 1990, "why")


def state_cache_of(
    events: Sequence[Event], *, start_sequence: int = 1, ended_max: int = 100, forgotten_max: int = 100
) -> StateCache:
    """A cache that was fed these events, the first of them at `start_sequence`."""
    state_cache = StateCache(start_sequence, set(), ended_max=ended_max, forgotten_max=forgotten_max)
    for sequence, event in enumerate(events, start=start_sequence):
        state_cache.apply(sequence, event)
    return state_cache


def test_a_payment_without_events_is_unrouted() -> None:
    assert StateCache(1, set()).payment_state(PAYMENT, 1) == Unrouted(1)


def test_a_request_older_than_the_cache_is_looked_up_in_the_log() -> None:
    state_cache = StateCache(10, set())
    assert state_cache.payment_state(PAYMENT, 9) is None
    assert state_cache.payment_state(PAYMENT, 10) == Unrouted(1)


def test_the_payment_state_follows_from_the_events() -> None:
    request = PaymentRequested(PAYMENT, 1990, 1)
    intent = routed(PAYMENT)
    assert state_cache_of([request]).payment_state(PAYMENT, 1) == Unrouted(1)
    assert state_cache_of([request, intent]).payment_state(PAYMENT, 1) == Open(intent, 2)
    assert state_cache_of([request, intent, in_doubt(PAYMENT)]).payment_state(PAYMENT, 1) == Open(
        intent, 2, in_doubt=True
    )
    assert state_cache_of([request, intent, released(PAYMENT)]).payment_state(PAYMENT, 1) == Unrouted(2)


@pytest.mark.parametrize("end", [processed(PAYMENT), rejected(PAYMENT)], ids=lambda event: type(event).__name__)
def test_an_ended_payment_stays_ended_whatever_comes_after(end: Event) -> None:
    late: list[Event] = [routed(PAYMENT), in_doubt(PAYMENT), released(PAYMENT), routed(PAYMENT, 2), end]
    assert state_cache_of([routed(PAYMENT), end, *late]).payment_state(PAYMENT, 1) == Ended()


def test_payments_do_not_disturb_each_other() -> None:
    state_cache = state_cache_of([routed(PAYMENT), routed(OTHER), in_doubt(PAYMENT), processed(OTHER)])
    assert state_cache.payment_state(PAYMENT, 1) == Open(routed(PAYMENT), 1, in_doubt=True)
    assert state_cache.payment_state(OTHER, 1) == Ended()


def test_the_bound_of_ended_payments_drops_the_oldest_first() -> None:
    state_cache = state_cache_of([processed(PAYMENT), processed(OTHER), processed(THIRD)], ended_max=2)
    assert state_cache.payment_state(PAYMENT, 1) is None
    assert state_cache.payment_state(OTHER, 1) == Ended()
    assert state_cache.payment_state(THIRD, 1) == Ended()


def test_a_dropped_payment_does_not_make_another_one_unknown() -> None:
    state_cache = state_cache_of([processed(PAYMENT), processed(OTHER)], ended_max=1)
    assert state_cache.complete_from == 1
    assert state_cache.payment_state(PAYMENT, 1) is None
    assert state_cache.payment_state(THIRD, 1) == Unrouted(1)


def test_a_backlog_far_longer_than_the_cache_is_not_looked_up_payment_by_payment() -> None:
    backlog = [f"00000000-0000-4000-9000-{number:012d}" for number in range(2_000)]
    state_cache = StateCache(1, BloomSet(500), ended_max=10, forgotten_max=2_000)
    for sequence, payment in enumerate(backlog[:1_000], start=2_001):
        state_cache.apply(sequence, processed(payment))
    unknown = [
        payment
        for number, payment in enumerate(backlog[1_000:], start=1_001)
        if not state_cache.payment_state(payment, number)
    ]
    assert len(unknown) < 20, "but for a few of which the filter is not sure"


def test_requests_no_newer_than_the_dropped_ids_are_looked_up_in_the_log() -> None:
    state_cache = state_cache_of([processed(PAYMENT), processed(OTHER)], ended_max=1, forgotten_max=0)
    assert state_cache.complete_from == 2
    assert state_cache.payment_state(THIRD, 1) is None
    assert state_cache.payment_state(THIRD, 2) == Unrouted(1)


def test_up_to_its_bound_the_cache_drops_nothing() -> None:
    state_cache = state_cache_of([processed(PAYMENT), processed(OTHER)], ended_max=2)
    assert state_cache.complete_from == 1
    assert state_cache.payment_state(PAYMENT, 1) == Ended()


def doubted(payment: str, at: int) -> list[tuple[int, Event]]:
    return [(at, routed(payment)), (at + 1, in_doubt(payment))]


def fed(state_cache: StateCache, events: Sequence[tuple[int, Event]]) -> StateCache:
    for sequence, event in events:
        state_cache.apply(sequence, event)
    return state_cache


class Everything:
    """A set of dropped ids that may hold any id."""

    def add(self, correlation_id: str, /) -> None: ...

    def clear(self) -> None: ...

    def __contains__(self, correlation_id: object, /) -> bool:
        return True


def adopt(state_cache: StateCache, payment: str, found: history.History | Ended) -> PaymentState | None:
    """Looks the payment up, while no event is applied."""
    with state_cache.asking(payment) as asked:
        return state_cache.adopt(payment, asked, found)


def test_doubts_beyond_the_bound_are_looked_up_in_the_log() -> None:
    state_cache = StateCache(1, set(), doubts_max=1)
    fed(state_cache, [*doubted(PAYMENT, 4), *doubted(OTHER, 6)])
    assert state_cache.payment_state(PAYMENT, 1) is None
    assert state_cache.payment_state(OTHER, 2) == Open(routed(OTHER), 6, in_doubt=True)
    fed(state_cache, [(8, processed(OTHER)), *doubted(THIRD, 9)])
    assert state_cache.payment_state(THIRD, 3) == Open(routed(THIRD), 9, in_doubt=True)


def test_a_doubt_is_known_by_one_of_its_events_only_after_a_question_with_its_request() -> None:
    state_cache = fed(StateCache(1, set()), doubted(PAYMENT, 4))
    assert state_cache.payment_state(PAYMENT, 5, is_request=False) is None, (
        "its request may be older than all that is known"
    )
    assert state_cache.payment_state(PAYMENT, 1) == Open(routed(PAYMENT), 4, in_doubt=True)
    assert state_cache.payment_state(PAYMENT, 5, is_request=False) == Open(routed(PAYMENT), 4, in_doubt=True)


def test_a_payment_older_than_the_cache_is_known_and_followed_after_its_history_was_adopted() -> None:
    state_cache = fed(StateCache(10, set()), [(12, processed(OTHER))])
    assert state_cache.payment_state(PAYMENT, 5, is_request=False) is None
    adopt(state_cache, PAYMENT, history.History(doubted(PAYMENT, 4)))
    assert state_cache.payment_state(PAYMENT, 5, is_request=False) == Open(routed(PAYMENT), 4, in_doubt=True)
    fed(state_cache, [(13, processed(PAYMENT))])
    assert state_cache.payment_state(PAYMENT, 5, is_request=False) == Ended()


def test_events_that_were_applied_during_the_look_up_are_added_to_its_history() -> None:
    state_cache = fed(StateCache(10, set()), [(12, processed(OTHER))])
    with state_cache.asking(PAYMENT) as asked:
        fed(state_cache, [(13, routed(PAYMENT)), (14, released(PAYMENT)), (15, routed(PAYMENT, 2))])
        found = state_cache.adopt(PAYMENT, asked, history.History([(13, routed(PAYMENT))]))
    assert found == Open(routed(PAYMENT, 2), 15)
    assert state_cache.payment_state(PAYMENT, 5) == Open(routed(PAYMENT, 2), 15)


def test_a_history_is_adopted_up_to_the_position_of_the_cache() -> None:
    state_cache = fed(StateCache(10, set()), [(12, processed(OTHER))])
    adopt(state_cache, PAYMENT, history.History([*doubted(PAYMENT, 4), (20, processed(PAYMENT))]))
    assert state_cache.payment_state(PAYMENT, 5, is_request=False) == Open(routed(PAYMENT), 4, in_doubt=True)


def test_a_history_from_before_a_purge_is_not_adopted() -> None:
    state_cache = fed(StateCache(10, set()), [(12, processed(OTHER))])
    with state_cache.asking(PAYMENT) as asked:
        fed(state_cache, [(13, LedgerPurged("test", 1))])
        assert state_cache.adopt(PAYMENT, asked, history.History(doubted(PAYMENT, 4))) is None
    assert state_cache.payment_state(PAYMENT, 14, is_request=False) is None
    assert state_cache.payment_state(PAYMENT, 5, is_request=False) == Ended()


def test_a_payment_that_was_looked_up_is_known_from_then_on_whatever_the_set_of_dropped_ids_holds() -> None:
    state_cache = StateCache(1, Everything())
    assert state_cache.payment_state(PAYMENT, 1) is None, "it may be among the dropped ids"
    adopt(state_cache, PAYMENT, history.History([]))
    assert state_cache.payment_state(PAYMENT, 1) == Unrouted()
    fed(state_cache, [(4, routed(PAYMENT))])
    assert state_cache.payment_state(PAYMENT, 1) == Open(routed(PAYMENT), 4), "its intent is confirmed"
    fed(state_cache, [(5, processed(PAYMENT))])
    assert state_cache.payment_state(PAYMENT, 1) == Ended()


def test_a_payment_that_is_found_to_have_ended_stays_ended() -> None:
    state_cache = StateCache(10, set())
    assert adopt(state_cache, PAYMENT, Ended()) == Ended()
    fed(state_cache, [(12, routed(PAYMENT))])
    assert state_cache.payment_state(PAYMENT, 5) == Ended()


def test_beyond_its_bound_a_payment_that_was_looked_up_and_has_no_event_is_looked_up_again() -> None:
    state_cache = StateCache(10, set(), adopted_max=1)
    adopt(state_cache, PAYMENT, history.History([]))
    fed(state_cache, [(12, routed(PAYMENT))])
    adopt(state_cache, OTHER, history.History([]))
    assert state_cache.payment_state(PAYMENT, 5) == Open(routed(PAYMENT), 12), "it has an event, and is not dropped"
    adopt(state_cache, THIRD, history.History([]))
    assert state_cache.payment_state(OTHER, 6) is None
    assert state_cache.payment_state(THIRD, 7) == Unrouted()


def test_a_request_from_before_the_last_purge_is_void_also_if_the_cache_begins_behind_that() -> None:
    state_cache = StateCache(10, set(), purged_before=7)
    assert state_cache.payment_state(PAYMENT, 6) == Ended()
    assert state_cache.payment_state(PAYMENT, 8) is None


def test_a_rejection_without_known_earlier_events_ends_nothing() -> None:
    """In an old log it does not name its attempt, and may be void: of an attempt that was in doubt before."""
    state_cache = fed(StateCache(10, set()), [(12, rejected(PAYMENT))])
    assert state_cache.payment_state(PAYMENT, 5, is_request=False) is None


def test_an_open_payment_is_never_dropped() -> None:
    others = [processed(f"00000000-0000-4000-9000-{number:012d}") for number in range(50)]
    state_cache = state_cache_of([routed(PAYMENT), *others], ended_max=3)
    assert state_cache.payment_state(PAYMENT, 1) == Open(routed(PAYMENT), 1)


def test_a_purge_voids_everything_before_it() -> None:
    state_cache = state_cache_of([processed(PAYMENT), routed(OTHER), LedgerPurged("test", 1)])
    assert state_cache.payment_state(PAYMENT, 4) == Unrouted(1)
    assert state_cache.payment_state(OTHER, 4) == Unrouted(1)


@pytest.mark.parametrize(
    "late",
    [in_doubt(PAYMENT), released(PAYMENT), routed(PAYMENT), routed(PAYMENT, 2)],
    ids=lambda event: type(event).__name__,
)
def test_a_late_event_of_a_dropped_payment_does_not_reopen_it(late: Event) -> None:
    state_cache = state_cache_of([routed(PAYMENT), processed(PAYMENT), processed(OTHER), late], ended_max=1)
    assert state_cache.payment_state(PAYMENT, 1) in (None, Ended())


def test_a_late_event_of_an_ended_payment_does_not_reopen_it_after_it_was_dropped() -> None:
    state_cache = state_cache_of(
        [routed(PAYMENT), processed(PAYMENT), in_doubt(PAYMENT), processed(OTHER)], ended_max=1
    )
    assert state_cache.payment_state(PAYMENT, 1) is None


@pytest.mark.parametrize(
    "event",
    [in_doubt(PAYMENT), released(PAYMENT), routed(PAYMENT, 2)],
    ids=lambda event: type(event).__name__,
)
def test_a_payment_whose_first_events_were_not_read_is_looked_up_in_the_log(event: Event) -> None:
    state_cache = state_cache_of([event], start_sequence=10)
    assert state_cache.payment_state(PAYMENT, 5) is None


# A property over logs of three payments: each state from the cache is the state that follows from the log.

PAYMENTS = (PAYMENT, OTHER, THIRD)


@dataclass(frozen=True)
class History:
    events: list[Event]
    start_sequence: int
    ended_max: int
    forgotten_max: int


@st.composite
def histories(draw: st.DrawFn, *, are_starts_early: bool) -> History:
    """A log that begins with the three requests; every other event may come at any time, and more than once."""
    kinds: st.SearchStrategy[Callable[[str, int], Event]] = st.sampled_from(
        [routed, routed, in_doubt, released, processed]
    )
    events: list[Event] = [PaymentRequested(payment, 1990, 1) for payment in PAYMENTS]
    for payment, kind, attempt in draw(
        st.lists(st.tuples(st.sampled_from(PAYMENTS), kinds, st.integers(1, 3)), max_size=25)
    ):
        events.append(kind(payment, attempt))
    if are_starts_early:
        return History(events, 1, 100, 100)
    start_sequence = draw(st.integers(1, len(events) + 1))
    return History(events, start_sequence, draw(st.integers(0, 3)), draw(st.integers(0, 3)))


def said_by_the_log(events: Sequence[Event], payment: str) -> PaymentState:
    payment_state: PaymentState = Unrouted()
    for sequence, event in enumerate(events, start=1):
        if getattr(event, "correlation_id", None) == payment and not isinstance(event, PaymentRequested):
            payment_state = evolve(payment_state, sequence, event)
    return payment_state


@given(histories(are_starts_early=True))
def test_a_cache_that_drops_nothing_has_the_states_of_the_log(history: History) -> None:
    state_cache = state_cache_of(history.events)
    for request_sequence, payment in enumerate(PAYMENTS, start=1):
        assert state_cache.payment_state(payment, request_sequence) == said_by_the_log(history.events, payment)


@given(histories(are_starts_early=False))
def test_a_cache_that_drops_or_starts_late_has_the_states_of_the_log_or_none(history: History) -> None:
    start = history.start_sequence
    state_cache = state_cache_of(
        history.events[start - 1 :],
        start_sequence=start,
        ended_max=history.ended_max,
        forgotten_max=history.forgotten_max,
    )
    for request_sequence, payment in enumerate(PAYMENTS, start=1):
        known = state_cache.payment_state(payment, request_sequence)
        assert known is None or known == said_by_the_log(history.events, payment)


def test_a_request_from_before_a_purge_is_not_charged_after_it() -> None:
    state_cache = state_cache_of([routed(PAYMENT), processed(PAYMENT), LedgerPurged("test", 1), routed(OTHER)])
    assert state_cache.payment_state(PAYMENT, 1) == Ended()
    assert state_cache.payment_state(THIRD, 2) == Ended()
    assert state_cache.payment_state(THIRD, 4) == Unrouted()


def test_a_late_intent_is_late_until_it_is_released_and_a_void_one_changes_nothing() -> None:
    state_cache = StateCache(1, set())
    state_cache.apply(2, routed(PAYMENT), is_late=True)
    assert state_cache.payment_state(PAYMENT, 1) == Open(routed(PAYMENT), 2, is_late=True)
    state_cache.apply(3, routed(PAYMENT), is_late=False)
    assert state_cache.payment_state(PAYMENT, 1) == Open(routed(PAYMENT), 2, is_late=True)
    state_cache.apply(4, released(PAYMENT))
    assert state_cache.payment_state(PAYMENT, 1) == Unrouted(2)
    on_time = StateCache(1, set())
    on_time.apply(2, routed(PAYMENT))
    on_time.apply(3, routed(PAYMENT), is_late=True)
    assert on_time.payment_state(PAYMENT, 1) == Open(routed(PAYMENT), 2)


# A property over whole logs: the cache begins anywhere, forgets at once, and looks up from a read model anywhere ahead.


@st.composite
def whole_logs(draw: st.DrawFn) -> list[Event]:
    """Requests, any other events of their payments in any order, and at most one purge; each at its sequence from 1."""
    kinds: st.SearchStrategy[Callable[[str, int], Event]] = st.sampled_from(
        [routed, routed, in_doubt, released, processed]
    )
    events: list[Event] = [PaymentRequested(payment, 1990, 1) for payment in PAYMENTS]
    chosen = st.tuples(st.sampled_from(PAYMENTS), kinds, st.integers(1, 3))
    events += [kind(payment, attempt) for payment, kind, attempt in draw(st.lists(chosen, min_size=4, max_size=30))]
    if draw(st.booleans()):
        place = draw(st.integers(len(PAYMENTS), len(events)))
        events[place:place] = [LedgerPurged("test", 1), *(PaymentRequested(one, 1990, 1) for one in PAYMENTS)]
    return events


def purged_at(events: Sequence[Event], sequence: int) -> int:
    """The sequence of the last purge up to `sequence`; 0 if there is none."""
    return max((one for one, event in enumerate(events[:sequence], 1) if isinstance(event, LedgerPurged)), default=0)


def state_in_the_log(events: Sequence[Event], payment: str, request: int, sequence: int) -> PaymentState:
    """The state for a request, when the log ended at `sequence`: a purge voids what is before it."""
    purged = purged_at(events, sequence)
    if request < purged:
        return Ended()
    payment_state: PaymentState = Unrouted()
    for place, event in enumerate(events[:sequence], start=1):
        if place > purged and getattr(event, "correlation_id", None) == payment:
            payment_state = evolve(payment_state, place, event)
    return payment_state


def read_model_answer(
    events: Sequence[Event], payment: str, request: int, position: int
) -> history.History | Ended | None:
    """What a read model at `position` has of the payment; None if it has no request of it (since the last purge).

    None, too, if that purge came after `request`: `Lookups` refuses an answer about a payment that was requested later.
    """
    purged = purged_at(events, position)
    own = [
        (place, event)
        for place, event in enumerate(events[:position], start=1)
        if place > purged and getattr(event, "correlation_id", None) == payment
    ]
    if all(place > request for place, event in own if isinstance(event, PaymentRequested)):
        return None
    found = history.History([(place, event) for place, event in own if not isinstance(event, PaymentRequested)])
    return Ended() if found.payment_state == Ended() else found


@given(whole_logs(), st.data())
def test_a_cache_that_begins_anywhere_and_forgets_at_once_has_the_states_of_the_log_after_a_look_up(
    events: list[Event], data: st.DataObject
) -> None:
    start = data.draw(st.integers(1, len(events) + 1), label="the cache's start")
    state_cache = StateCache(
        start,
        Everything() if data.draw(st.booleans(), label="the set holds any id") else set(),
        **{
            bound: data.draw(st.integers(0, 2), label=bound)
            for bound in ("ended_max", "doubts_max", "adopted_max", "forgotten_max")
        },
        purged_before=purged_at(events, start - 1),
    )
    position = start - 1

    def read_to(sequence: int) -> None:
        nonlocal position
        for place in range(position + 1, sequence + 1):
            state_cache.apply(place, events[place - 1])
        position = max(position, sequence)

    def check(payment: str, request: int, known: PaymentState | None) -> None:
        # What has ended by then may be found before the cache has read so far.
        ends_later = {Ended()} if state_in_the_log(events, payment, request, len(events)) == Ended() else set()
        assert known is None or known in {state_in_the_log(events, payment, request, position), *ends_later}

    requests = [(place, one.correlation_id) for place, one in enumerate(events, 1) if isinstance(one, PaymentRequested)]
    for _ in range(data.draw(st.integers(1, 12), label="questions")):
        read_to(data.draw(st.integers(position, len(events)), label="read to"))
        request, payment = data.draw(st.sampled_from(requests))
        if purged_at(events, request) > position:
            # The cache still has the states from before that purge. They charge nothing twice: of intents for the same
            # id, all after the purge, the log's order decides.
            continue
        known = state_cache.payment_state(payment, request)
        check(payment, request, known)
        if known is not None:
            continue
        with state_cache.asking(payment) as asked:
            needed = max(asked.since, request)
            as_of = data.draw(st.integers(needed, len(events)), label="as of")
            answer = read_model_answer(events, payment, request, as_of)
            read_to(data.draw(st.integers(position, len(events)), label="read during the question, to"))
            if answer is not None:
                check(payment, request, state_cache.adopt(payment, asked, answer))
        check(payment, request, state_cache.payment_state(payment, request))
