"""Messages of several events: nothing is lost between them, and they fit."""

import pytest
from event_strategies import BY_KIND
from hypothesis import given
from hypothesis import strategies as st

from contract.codec import decode, encode
from contract.events import Event, OperatorWord, PaymentProcessed, PaymentReleased, PaymentRouted
from contract.message import EVENTS_MAX, join, part_of, split
from contract.stream import MESSAGE_BYTES_MAX

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
OTHER = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b4"
HEADER_BYTES_MAX = 128
LATEST_US = 253_402_300_799_999_999
LONGEST_WHY = "overflow: fallback has all 99999 places taken, 9999999999 wait; saves 9999999999999.99"


@given(st.lists(st.one_of(*BY_KIND.values()), min_size=1, max_size=EVENTS_MAX))
def test_the_events_of_a_message_come_out_as_they_went_in(written: list[Event]) -> None:
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
    assert part_of(payload, ID) == encode(mine)
    assert part_of(payload, OTHER) == encode(others)
    assert part_of(encode(others), ID) is None


def test_a_text_that_names_another_payment_makes_its_event_none_of_that_payments() -> None:
    note = f'the same as "correlationId":"{ID}"'
    word = OperatorWord("someone", note, 1)
    assert part_of(encode(PaymentReleased(OTHER, 1, "default", note, word)), ID) is None


def test_an_event_that_somebody_else_has_written_is_found_as_well() -> None:
    assert part_of(b'{"x": 1, "correlationId" : "%b"}' % ID.encode(), ID) is not None
