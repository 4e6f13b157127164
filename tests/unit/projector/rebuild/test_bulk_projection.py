"""The bulk projection makes the same rows as the live one for any log."""

from collections.abc import Iterator
from dataclasses import astuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.old_events import as_version_0
from tests.unit.projector.payment_histories import PAYMENTS, Stored, logs, logs_with_repeats, stored
from tollgate.contract.batch import Malformed, events_in, join
from tollgate.contract.codec import encode
from tollgate.contract.events import Event, LedgerPurged, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.subjects import subject_of
from tollgate.messaging.validity import valid_events
from tollgate.projector.live import projection
from tollgate.projector.live.projection import Cleared, EndedAs, Projection, RejectedRow, SettledRow
from tollgate.projector.rebuild.bulk_projection import BulkProjection, Rows
from tollgate.projector.rebuild.plain_lines import Stretch

Message = tuple[int, str, bytes, int]


@pytest.fixture(autouse=True, scope="module")
def _short_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "RECENTLY_ENDED_MAX", 1)
        yield


class Live:
    """What the live projector does with a log."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.poison = 0
        self._projection = Projection(self.rows_ended_as)

    def rows_ended_as(self, correlation_id: str) -> EndedAs | None:
        return self.rows.ended_as(correlation_id)

    def read(self, messages: list[Message]) -> None:
        for sequence, subject, payload, stored_at_us in messages:
            events = events_in(subject, payload)
            if isinstance(events, Malformed):
                self.poison += 1
                continue
            for event in events:
                self._take(sequence, event, stored_at_us)

    def _take(self, sequence: int, event: Event, stored_at_us: int) -> None:
        match self._projection.apply(sequence, event, stored_at_us):
            case SettledRow() as row:
                *columns, sequences = astuple(row)
                self.rows.settled.append((*columns, sequences[-1], sequences))
            case RejectedRow() as row:
                self.rows.rejected.append(astuple(row))
            case Cleared(position):
                self.rows = Rows(purged_at=position)

    @property
    def oldest(self) -> int | None:
        return self._projection.oldest_open_sequence()


class Bulk:
    """The same at once; what was taken is kept as a store would."""

    def __init__(self) -> None:
        self.rows = Rows()
        self._projection = BulkProjection(self.rows_ended_as, valid_events)

    def rows_ended_as(self, correlation_id: str) -> EndedAs | None:
        return self.rows.ended_as(correlation_id)

    def read(self, messages: list[Message], *, take_every: int) -> None:
        for begin in range(0, len(messages), take_every):
            columns = zip(*messages[begin : begin + take_every], strict=True)
            self._projection.apply(Stretch(*map(list, columns)))
            self._take()

    def _take(self) -> None:
        rows = self._projection.take()
        if rows.purged_at is not None:
            self.rows = Rows(purged_at=rows.purged_at)
        self.rows.settled += rows.settled
        self.rows.rejected += rows.rejected

    @property
    def poison(self) -> int:
        return self._projection.poison_events

    @property
    def oldest(self) -> int | None:
        return self._projection.oldest_open_sequence()


def _may_share(group: list[Stored], one: Stored) -> bool:
    """By the rules of contract/batch.py."""
    return (
        subject_of(one.event) == subject_of(group[0].event)
        and not isinstance(one.event, PaymentRequested | LedgerPurged)
        and one.correlation_id not in {other.correlation_id for other in group}
    )


def messages_of(log: list[Stored]) -> list[Message]:
    return [(one.sequence, subject_of(one.event), encode(one.event), one.stored_at_us) for one in log]


def assert_alike(messages: list[Message], take_every: int) -> None:
    live, bulk = Live(), Bulk()
    live.read(messages)
    bulk.read(messages, take_every=take_every)
    assert bulk.rows == live.rows
    assert bulk.poison == live.poison
    assert bulk.oldest == live.oldest


@given(logs() | logs_with_repeats().map(lambda pair: pair[1]), st.integers(1, 9))
def test_rows_are_those_of_the_live_projection(log: list[Stored], take_every: int) -> None:
    assert_alike(messages_of(log), take_every)


@given(logs(), logs_with_repeats(), st.integers(1, 9))
def test_rows_are_those_of_the_live_projection_after_a_purge(
    before: list[Stored], pair: tuple[list[Stored], list[Stored]], take_every: int
) -> None:
    events = [(one.event, one.stored_at_us) for one in [*before, Stored(0, LedgerPurged("test", 1)), *pair[1]]]
    assert_alike(
        [(n, subject_of(event), encode(event), at) for n, (event, at) in enumerate(events, start=1)], take_every
    )


@given(logs_with_repeats(), st.integers(1, 9), st.data())
def test_rows_are_those_of_the_live_projection_when_events_share_messages(
    pair: tuple[list[Stored], list[Stored]], take_every: int, data: st.DataObject
) -> None:
    groups: list[list[Stored]] = []
    for one in pair[1]:
        if groups and _may_share(groups[-1], one) and data.draw(st.booleans()):
            groups[-1].append(one)
        else:
            groups.append([one])
    messages = [
        (sequence, subject_of(group[0].event), join(encode(one.event) for one in group), group[0].stored_at_us)
        for sequence, group in enumerate(groups, start=1)
    ]
    assert_alike(messages, take_every)
    apart, together = Live(), Live()
    apart.read(
        [
            (one.sequence, subject_of(one.event), encode(one.event), group[0].stored_at_us)
            for group in groups
            for one in group
        ]
    )
    together.read(messages)
    assert [row[:6] for row in together.rows.settled] == [row[:6] for row in apart.rows.settled]


SUBJECTS = [
    "payments.requested",
    "payments.purged",
    "payments.rejected",
    "payments.routed.other",
    "payments.processed.default",
]


@settings(max_examples=300, deadline=None)
@given(logs_with_repeats(), st.integers(1, 9), st.data())
def test_rows_are_those_of_the_live_projection_whatever_lies_where(
    pair: tuple[list[Stored], list[Stored]], take_every: int, data: st.DataObject
) -> None:
    """Any lines in one message, under any subject: both set the same ones aside."""
    messages: list[Message] = []
    group: list[Stored] = []
    for one in pair[1]:
        group.append(one)
        if data.draw(st.integers(0, 2)):
            continue
        subject = data.draw(st.sampled_from([subject_of(one.event) for one in group] + SUBJECTS))
        payload = join(encode(one.event) for one in group)
        messages.append((len(messages) + 1, subject, payload, group[0].stored_at_us))
        group = []
    assert_alike(messages, take_every)


@given(logs_with_repeats(), st.integers(1, 9), st.data())
def test_a_log_of_which_any_part_is_of_version_0_makes_the_same_rows(
    pair: tuple[list[Stored], list[Stored]], take_every: int, data: st.DataObject
) -> None:
    messages = messages_of(pair[1])
    first_new = data.draw(st.integers(0, len(messages)))
    old = [
        (one.sequence, subject_of(one.event), orjson.dumps(as_version_0(one.event)), one.stored_at_us)
        for one in pair[1][:first_new]
    ]
    assert_alike([*old, *messages[first_new:]], take_every)
    today, then = Live(), Live()
    today.read(messages)
    then.read([*old, *messages[first_new:]])
    assert (then.rows, then.poison) == (today.rows, 0)


BAD: list[object] = [
    None, True, 0, -1, 1.0, 1.5, "", "x", [], {}, 2, "fallback", PAYMENTS[1], PAYMENTS[0].upper(),
    "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000001+00:00", "20260131T12:00:00.1.123456Z",
    "2026-01-31t12:00:00.000001Z", "2026-02-30T12:00:00.000001Z", "2026-01-31T12:00:00.00000²Z",
    "2026-01-31T12:00:00.+00001Z", "2026-01-31T24:00:00.000001Z", "2026-01-31T12:00:60.000001Z",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(logs_with_repeats(), st.integers(1, 9), st.data())
def test_rows_are_those_of_the_live_projection_whatever_stands_in_the_messages(
    pair: tuple[list[Stored], list[Stored]], take_every: int, data: st.DataObject
) -> None:
    messages = messages_of(pair[1])
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(messages) - 1))
        sequence, subject, payload, stored_at_us = messages[index]
        try:
            fields = orjson.loads(payload)
        except orjson.JSONDecodeError:
            continue
        name = data.draw(st.sampled_from([*fields, "more"]))
        change = data.draw(st.sampled_from(["value", "missing", "torn"]))
        if change == "missing":
            fields.pop(name, None)
        else:
            fields[name] = data.draw(st.sampled_from(BAD))
        payload = orjson.dumps(fields)
        messages[index] = sequence, subject, payload[:-1] if change == "torn" else payload, stored_at_us
    assert_alike(messages, take_every)


def test_plain_payments_are_projected_without_the_live_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    def must_not(*_: object) -> None:
        raise AssertionError("the plain path was left")

    monkeypatch.setattr(BulkProjection, "_apply_single", must_not)
    bulk = Bulk()
    name = PAYMENTS[0]
    plain: list[Event] = [
        PaymentRequested(name, 5, 1),
        PaymentRouted(name, 5, 1, "default", 2, "why"),
        PaymentProcessed(name, 5, 1, "default", 2, 3),
    ]
    bulk.read(messages_of(stored(plain)), take_every=1)
    assert bulk.rows.settled == [(name, "default", 5, 2, 3, 1, 3, [1, 2, 3])]
