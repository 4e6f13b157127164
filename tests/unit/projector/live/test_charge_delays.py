from tollgate.contract.timestamps import MICROSECONDS
from tollgate.projector.live.charge_delays import BUCKET_US, BUCKETS_MAX, NEIGHBOUR_BUCKETS, ChargeDelays

STAMP_US = 1_800_000_000 * MICROSECONDS
NEAR_US = NEIGHBOUR_BUCKETS * BUCKET_US


def test_an_answer_is_due_when_the_fastest_near_it_took_as_long() -> None:
    delays = ChargeDelays()
    delays.observe("default", STAMP_US, STAMP_US + 2_000)
    delays.observe("default", STAMP_US + 1, STAMP_US + 9_000)
    assert delays.due_at_us("default", STAMP_US + 1) == STAMP_US + 2_001
    assert delays.due_at_us("default", STAMP_US + NEAR_US) == STAMP_US + NEAR_US + 2_000


def test_charges_of_another_time_or_provider_are_not_near() -> None:
    delays = ChargeDelays()
    delays.observe("default", STAMP_US, STAMP_US + 2_000)
    assert delays.near_us("default", STAMP_US + NEAR_US + BUCKET_US) is None
    assert delays.near_us("fallback", STAMP_US) is None


def test_an_attempt_without_neighbours_is_expected_as_fast_as_the_last_charge() -> None:
    delays = ChargeDelays()
    assert delays.due_at_us("default", STAMP_US) == STAMP_US
    delays.observe("default", STAMP_US, STAMP_US + 2_000)
    delays.observe("default", STAMP_US, STAMP_US + 3_000)
    later_us = STAMP_US + NEAR_US + BUCKET_US
    assert delays.due_at_us("default", STAMP_US) == STAMP_US + 2_000
    assert delays.due_at_us("default", later_us) == later_us + 3_000


def test_a_charge_that_was_answered_before_its_stamp_shows_nothing() -> None:
    delays = ChargeDelays()
    delays.observe("default", STAMP_US, STAMP_US - 1)
    assert delays.near_us("default", STAMP_US) is None


def test_only_the_latest_groups_of_stamps_are_kept() -> None:
    delays = ChargeDelays()
    for number in range(BUCKETS_MAX + NEIGHBOUR_BUCKETS + 1):
        delays.observe("default", STAMP_US + number * BUCKET_US, STAMP_US + number * BUCKET_US + 7)
    assert delays.near_us("default", STAMP_US) is None
    assert delays.near_us("default", STAMP_US + (NEIGHBOUR_BUCKETS + 1) * BUCKET_US) == 7
