"""Messages of several events keep them, fit the size limit, and are valid as a whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.contract.event_strategies import BY_KIND, EXAMPLES, events
from tollgate.contract.batch import EVENTS_MAX, Malformed, events_in, join, part_of, split
from tollgate.contract.codec import decode, encode
from tollgate.contract.events import (
    Event,
    LedgerPurged,
    ManualResolution,
    PaymentProcessed,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)
from tollgate.contract.subjects import MESSAGE_BYTES_MAX, subject_of

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
OTHER = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b4"
THIRD = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b5"
DEFAULT = "payments.processed.default"
HEADER_BYTES_MAX = 128
LATEST_US = 253_402_300_799_999_999
LONGEST_WHY = "overflow: fallback has all 99999 places taken, 9999999999 wait; saves 9999999999999.99"


@given(st.lists(st.one_of(*BY_KIND.values()), min_size=1, max_size=EVENTS_MAX))
def test_the_events_of_a_message_survive_joining(written: list[Event]) -> None:
    assert [decode(one) for one in split(join(encode(event) for event in written))] == written


@pytest.mark.parametrize(
    "event",
    [
        PaymentRouted(ID, 10**15, 10**6, "fallback", LATEST_US, LONGEST_WHY),
        PaymentProcessed(ID, 10**15, 10**6, "fallback", LATEST_US, LATEST_US),
    ],
    ids=lambda event: type(event).__name__,
)
def test_the_longest_events_that_are_stored_together_fit_into_a_message(event: Event) -> None:
    assert len(join([encode(event)] * EVENTS_MAX)) + HEADER_BYTES_MAX <= MESSAGE_BYTES_MAX
    assert len(encode(event)) < 400


def test_a_payments_part_of_a_message_is_its_own_event() -> None:
    mine, others = (PaymentProcessed(one, 5, 1, "default", 1, 2) for one in (ID, OTHER))
    payload = join([encode(others), encode(mine)])
    assert part_of(DEFAULT, payload, ID) == encode(mine)
    assert part_of(DEFAULT, payload, OTHER) == encode(others)
    assert part_of(DEFAULT, encode(others), ID) is None


def test_a_text_that_names_another_payment_makes_its_event_none_of_that_payments() -> None:
    note = f'the same as "correlationId":"{ID}"'
    resolution = ManualResolution("someone", note, 1)
    assert (
        part_of("payments.released.default", encode(PaymentReleased(OTHER, 1, "default", note, resolution)), ID) is None
    )


def test_an_event_in_another_json_spelling_is_found() -> None:
    spaced = encode(PaymentProcessed(ID, 5, 1, "default", 1, 2)).replace(b":", b" : ", 3)
    assert part_of(DEFAULT, spaced, ID) == spaced


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=lambda event: type(event).__name__)
@pytest.mark.parametrize(
    "subject", sorted({subject_of(one) for one in EXAMPLES.values()} | {"payments.routed.other", "x"})
)
def test_an_event_is_valid_under_its_own_subject_only(event: Event, subject: str) -> None:
    found = events_in(subject, encode(event))
    if subject == subject_of(event):
        assert found == [event]
    else:
        assert isinstance(found, Malformed)
        assert type(event).__name__ in found.why
        assert subject in found.why
        assert part_of(subject, encode(event), ID) is None


@given(events)
def test_every_event_is_valid_under_its_subject(event: Event) -> None:
    assert events_in(subject_of(event), encode(event)) == [event]


def test_an_event_of_the_other_provider_is_not_valid() -> None:
    assert isinstance(events_in(DEFAULT, encode(PaymentProcessed(ID, 5, 1, "fallback", 1, 2))), Malformed)


def test_an_invalid_line_makes_the_whole_message_invalid() -> None:
    """Foreign bytes that the broker stores, such as a piece of a backup, may have any line in them."""
    mine, others = (PaymentProcessed(one, 5, 1, "default", 1, 2) for one in (ID, OTHER))
    for line in (b"{}", b"", b"\xff\x06", encode(PaymentRouted(THIRD, 5, 1, "default", 1, "why"))):
        payload = join([encode(mine), line, encode(others)])
        assert isinstance(events_in(DEFAULT, payload), Malformed)
        assert part_of(DEFAULT, payload, ID) is None


def test_two_events_of_one_payment_in_a_message_are_not_valid() -> None:
    first, second = (PaymentProcessed(ID, cents, 1, "default", 1, 2) for cents in (5, 6))
    other = PaymentProcessed(OTHER, 5, 1, "default", 1, 2)
    for written in ([first, second], [first, other, first]):
        assert isinstance(events_in(DEFAULT, join(map(encode, written))), Malformed)


def test_a_message_with_too_many_events_is_invalid() -> None:
    written = [PaymentProcessed(f"{ID[:-2]}{number:02}", 5, 1, "default", 1, 2) for number in range(EVENTS_MAX + 1)]
    assert events_in(DEFAULT, join(map(encode, written[:-1]))) == written[:-1]
    assert isinstance(events_in(DEFAULT, join(map(encode, written))), Malformed)
    assert part_of(DEFAULT, join(map(encode, written)), ID[:-2] + "00") is None


@pytest.mark.parametrize("kind", [PaymentRequested, LedgerPurged])
def test_an_event_that_needs_its_own_message_shares_none(kind: type[Event]) -> None:
    event = EXAMPLES[kind]
    assert isinstance(events_in(subject_of(event), join([encode(event), encode(event)])), Malformed)


def test_an_id_that_a_search_of_the_text_would_miss_is_not_valid() -> None:
    escaped = encode(PaymentProcessed(ID, 5, 1, "default", 1, 2)).replace(b'"4a', rb'"4\u0061')
    assert isinstance(events_in(DEFAULT, escaped), Malformed)
