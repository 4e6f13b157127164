"""Each event has its own subject and message id, and the stream has all subjects."""

import re
from itertools import combinations
from typing import get_args

import pytest
from hypothesis import given

from tests.unit.contract.event_strategies import EXAMPLES, ID, events
from tollgate.contract.events import (
    PROVIDERS,
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
from tollgate.contract.subjects import PURGED, REQUESTED, SUBJECTS, message_id_of, subject_of


def covering(subject: str) -> list[str]:
    """The stream's subjects that cover this one."""
    return [
        pattern
        for pattern in SUBJECTS
        if re.fullmatch(re.escape(pattern).replace(r"\*", r"[^.*> ]+"), subject) is not None
    ]


@given(events)
def test_every_event_is_published_on_a_subject_of_the_stream(event: Event) -> None:
    assert len(covering(subject_of(event))) == 1


@pytest.mark.parametrize(("one", "other"), list(combinations(get_args(Event), 2)))
def test_no_two_kinds_share_a_subject_or_a_message_id(one: type[Event], other: type[Event]) -> None:
    assert covering(subject_of(EXAMPLES[one])) != covering(subject_of(EXAMPLES[other]))
    assert message_id_of(EXAMPLES[one]) != message_id_of(EXAMPLES[other])


def test_the_stream_has_no_subject_that_no_event_is_published_on() -> None:
    assert sorted(pattern for event in EXAMPLES.values() for pattern in covering(subject_of(event))) == sorted(SUBJECTS)


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_subjects_and_message_ids_are_those_of_the_design(name: ProviderName) -> None:
    table: dict[Event, tuple[str, str | None]] = {
        PaymentRequested(ID, 1, 1): (REQUESTED, ID),
        PaymentRouted(ID, 1, 7, name, 1, ""): (f"payments.routed.{name}", f"{ID}:routed:7"),
        PaymentInDoubt(ID, 7, name, ""): (f"payments.in_doubt.{name}", f"{ID}:in_doubt:7"),
        PaymentReleased(ID, 7, name, ""): (f"payments.released.{name}", f"{ID}:released:7"),
        PaymentProcessed(ID, 1, 7, name, 1, 1): (f"payments.processed.{name}", f"{ID}:processed"),
        PaymentRejected(ID, 1, ""): ("payments.rejected", f"{ID}:rejected"),
        LedgerPurged("", 1): (PURGED, None),
    }
    assert {type(event) for event in table} == set(get_args(Event))
    for event, (subject, message_id) in table.items():
        assert (subject_of(event), message_id_of(event)) == (subject, message_id)


def test_each_attempt_has_message_ids_of_its_own_and_the_end_has_one() -> None:
    for attempts in combinations(range(1, 12), 2):
        assert len({message_id_of(PaymentRouted(ID, 1, attempt, "default", 1, "")) for attempt in attempts}) == 2
        assert len({message_id_of(PaymentInDoubt(ID, attempt, "default", "")) for attempt in attempts}) == 2
        assert len({message_id_of(PaymentReleased(ID, attempt, "default", "")) for attempt in attempts}) == 2
        assert len({message_id_of(PaymentProcessed(ID, 1, attempt, "default", 1, 1)) for attempt in attempts}) == 1


def test_each_manual_resolution_has_its_own_message_id() -> None:
    resolutions = [None, ManualResolution("someone", "seen", 1), ManualResolution("someone", "seen", 2)]
    for ids in (
        {message_id_of(PaymentInDoubt(ID, 1, "default", "", resolution)) for resolution in resolutions},
        {message_id_of(PaymentReleased(ID, 1, "default", "", resolution)) for resolution in resolutions},
        {message_id_of(PaymentProcessed(ID, 1, 1, "default", 1, 1, resolution)) for resolution in resolutions},
        {message_id_of(PaymentRejected(ID, 1, "", attempt)) for attempt in (None, 1, 2)},
    ):
        assert len(ids) == 3


@given(events)
def test_a_message_id_begins_with_the_payments_id_and_is_unique_to_it(event: Event) -> None:
    message_id = message_id_of(event)
    if isinstance(event, LedgerPurged):
        assert message_id is None
    else:
        assert message_id is not None
        assert message_id.partition(":")[0] == event.correlation_id
