"""The rule by which a reader detects that the log is another one."""

from dataclasses import replace

import pytest

from tollgate.contract.log_mark import LogMark, LogState

LOG = LogState(first_sequence=1, last_sequence=40, identity="a", last_stored_at_us=400, messages=40)
MARK = LogMark("a", 30, 300)


@pytest.mark.parametrize(
    ("mark", "log", "stored_at_us", "contradiction"),
    [
        (MARK, LOG, None, None),
        (MARK, LOG, 300, None),
        (MARK, LOG, 301, "the log went back before 30, and has grown since: another message is stored there"),
        (MARK, replace(LOG, identity="b"), 300, "the log was replaced by another"),
        (MARK, replace(LOG, last_sequence=29), None, "the log went back from 30 to 29"),
        # Acknowledged, and not read yet.
        (replace(MARK, end=40), LOG, 300, None),
        (replace(MARK, end=41), LOG, 300, "the log went back from 41 to 40"),
        (MARK, replace(LOG, first_sequence=0, last_sequence=0), None, "the log went back from 30 to 0"),
        # The mark's message is the log's last: nothing needs to be asked for.
        (MARK, replace(LOG, last_sequence=30, last_stored_at_us=300), None, None),
        (
            MARK,
            replace(LOG, last_sequence=30, last_stored_at_us=299),
            None,
            "the log went back before 30, and has grown since: another message is stored there",
        ),
        # Purged since, up to the end and short of it: there is nothing to compare with.
        (MARK, replace(LOG, first_sequence=31, last_sequence=30, last_stored_at_us=0), None, None),
        (MARK, replace(LOG, first_sequence=35), None, None),
        # Nothing was read yet.
        (LogMark("a"), LOG, None, None),
        (LogMark("a"), replace(LOG, first_sequence=0, last_sequence=0, last_stored_at_us=0), None, None),
        (LogMark("b"), LOG, None, "the log was replaced by another"),
    ],
)
def test_a_log_contradicts_a_mark_when_it_does_not_hold_what_was_read(
    mark: LogMark, log: LogState, stored_at_us: int | None, contradiction: str | None
) -> None:
    assert mark.contradiction(log, stored_at_us) == contradiction


def test_a_mark_moves_forwards_only() -> None:
    assert MARK.moved(31, 310) == LogMark("a", 31, 310)
    assert replace(MARK, end=35).moved(31, 310) == LogMark("a", 31, 310, 35)
    assert MARK.moved(30, 999) == MARK
    assert MARK.moved(5, 50) == MARK


@pytest.mark.parametrize(
    ("mark", "is_held"),
    [(MARK, True), (LogMark("a", 40, 1), True), (LogMark("a", 41, 1), False), (LogMark("a"), False)],
)
def test_a_mark_inside_of_the_log_can_be_compared(mark: LogMark, is_held: bool) -> None:
    assert mark.is_held_by(LOG) is is_held
    assert not mark.is_held_by(replace(LOG, first_sequence=41))


def test_what_is_missing_between_the_ends_is_damage_and_what_was_purged_is_not() -> None:
    assert LOG.missing == 0
    assert LOG.damage() is None
    damaged = replace(LOG, messages=37)
    assert damaged.missing == 3
    assert damaged.damage() == "the log is damaged: 3 messages between 1 and 40 are missing"
    assert damaged.damage(missing_accepted=3) is None
    assert replace(LOG, messages=36).damage(missing_accepted=3) is not None
    assert replace(LOG, first_sequence=31, messages=10).missing == 0
    # Emptied, and never written to; and one whose messages were not counted.
    assert replace(LOG, first_sequence=41, messages=0).missing == 0
    assert LogState(0, 0, "a", 0, 0).missing == 0
    assert LogState(1, 40, "a").missing == 0
