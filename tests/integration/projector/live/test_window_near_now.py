"""A summary of a window that ends near now equals the provider's records then, although answers are read late.

The real projection and store in simulated time: a provider that charges after a delay, which rises and falls and varies
from charge to charge; a processor that sends an attempt up to 0.3 s after its stamp and reads an answer up to half a
second after its arrival; and questions for the window that ends two seconds ago.
"""

import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.contract.events import Event, PaymentProcessed, PaymentRequested, PaymentRouted
from tollgate.contract.read_model_api import SummaryQuestion
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.projector.live.projection import Change, Projection
from tollgate.projector.live.store import Checkpoint, Store

MILLISECOND_US = 1_000
START_US = 1_800_000_000 * MICROSECONDS
SEND_US, SEND_US_MAX = 3 * MILLISECOND_US, 300 * MILLISECOND_US
"""From the stamp of an attempt until the provider has its request."""
APPEND_US = 5 * MILLISECOND_US
"""From the reading of the answer until the read model has its PaymentProcessed."""
SPREAD_US_MAX = 50 * MILLISECOND_US
"""How much longer than the provider's delay a charge may take."""
LATE_US_MAX = 500 * MILLISECOND_US
WAIT_US_MAX = 750 * MILLISECOND_US
CLIENT_TIMEOUT_US = 1_500 * MILLISECOND_US


@dataclass(frozen=True, slots=True)
class Charge:
    """One attempt: when it was stamped and charged, and when its answer arrived and was read."""

    stamp_us: int
    charged_us: int
    arrived_us: int
    read_us: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a summary counted, what the provider's records held, what the log held, and how long the summary waited."""

    counted: int
    recorded: int
    logged: int
    waited_us: int


def charges_of(
    stamps_us: Sequence[int],
    delay_us: Callable[[int], int],
    late_us: Callable[[], int],
    sending_us: Callable[[], int] = lambda: SEND_US,
    transit_us: Callable[[], int] = lambda: 0,
) -> list[Charge]:
    made = []
    for stamp_us in stamps_us:
        sent_us = stamp_us + sending_us()
        charged_us = sent_us + delay_us(sent_us)
        arrived_us = charged_us + transit_us()
        made.append(Charge(stamp_us, charged_us, arrived_us, arrived_us + late_us()))
    return made


class Timeline:
    """The events of some charges in the order in which the read model gets them, and questions between them."""

    def __init__(self, charges: Sequence[Charge], store: Store, *, knows_arrival: bool = True) -> None:
        """Without `knows_arrival` an answer counts as arrived when it was read, as on other systems than Linux."""
        self._charges = charges
        self._store = store
        self._projection = Projection(lambda _: None)
        events: list[tuple[int, Event]] = []
        for number, one in enumerate(charges):
            name = str(UUID(int=number))
            events.append((one.stamp_us, PaymentRequested(name, 1, one.stamp_us)))
            events.append((one.stamp_us, PaymentRouted(name, 1, 1, "default", one.stamp_us, "test")))
            processed_us = one.arrived_us if knows_arrival else one.read_us
            processed = PaymentProcessed(name, 1, 1, "default", one.stamp_us, processed_us)
            events.append((one.read_us + APPEND_US, processed))
        self._events = sorted(events, key=lambda event: event[0])
        self._sequence = 0

    def ask(self, asked_us: int, *, distance_us: int) -> Answer:
        """The window of 15 s that ends `distance_us` before the question."""
        question = SummaryQuestion(asked_us - 15 * MICROSECONDS, asked_us - distance_us)
        self._read_to(asked_us)
        log_end = self._sequence
        waiting = list(self._projection.attempts_in(question.from_us, question.to_us))
        now_us = asked_us
        while now_us < asked_us + WAIT_US_MAX and any(
            self._projection.is_answer_due(*one, asked_us) for one in waiting
        ):
            now_us += MILLISECOND_US
            self._read_to(now_us)
        totals, _ = self._store.totals(question, asked_at_us=asked_us, log_end=log_end)
        inside = [
            one for one in self._charges if asked_us - 15 * MICROSECONDS <= one.stamp_us <= asked_us - distance_us
        ]
        return Answer(
            totals["default"].count,
            sum(one.charged_us <= asked_us for one in inside),
            sum(one.read_us + APPEND_US <= asked_us for one in inside),
            now_us - asked_us,
        )

    def _read_to(self, until_us: int) -> None:
        changes: list[Change] = []
        while self._sequence < len(self._events) and self._events[self._sequence][0] <= until_us:
            stored_us, event = self._events[self._sequence]
            self._sequence += 1
            if (change := self._projection.apply(self._sequence, event, stored_us)) is not None:
                changes.append(change)
        if changes:
            self._store.commit(changes, Checkpoint(self._sequence, 1))


def burst_late_us(rng: random.Random) -> Callable[[], int]:
    """Half of the answers are read at once, the others up to LATE_US_MAX late."""
    return lambda: rng.choice([0, rng.randint(0, LATE_US_MAX)])


def slow_in_the_middle_us(rng: random.Random) -> Callable[[int], int]:
    """A provider that is slow, 2 s, from its 20th to its 50th second."""

    def delay_us(sent_us: int) -> int:
        is_slow = 20 <= (sent_us - START_US) / MICROSECONDS < 50
        return (2 * MICROSECONDS if is_slow else 100 * MILLISECOND_US) + rng.randint(0, SPREAD_US_MAX)

    return delay_us


def judged(tmp_path: Path, seed: int, *, knows_arrival: bool) -> list[Answer]:
    rng = random.Random(seed)
    stamps_us = sorted(START_US + rng.randrange(70 * MICROSECONDS) for _ in range(70 * 60))
    late_us, sending_us = burst_late_us(rng), lambda: rng.randint(SEND_US, SEND_US_MAX)
    charges = charges_of(stamps_us, slow_in_the_middle_us(rng), late_us, sending_us)
    with closing(Store.open(tmp_path / f"{seed}-{knows_arrival}.duckdb", "log")) as store:
        timeline = Timeline(charges, store, knows_arrival=knows_arrival)
        # Above all while windows end in the two seconds after the rise: then many charges are made at the question.
        return [
            timeline.ask(START_US + round(second * MICROSECONDS), distance_us=2 * MICROSECONDS)
            for second in (15, 22.1, 22.9, 23.7, 24.5, 35, 45, 51, 52.5, 65)
        ]


@pytest.mark.parametrize("seed", range(3))
def test_the_windows_of_a_slow_provider_equal_its_records(tmp_path: Path, seed: int) -> None:
    otherwise = judged(tmp_path, seed, knows_arrival=False)
    assert any(one.counted < one.recorded for one in otherwise), "the simulation does not reach the case"
    assert all(one.logged <= one.counted <= one.recorded for one in otherwise)
    answers = judged(tmp_path, seed, knows_arrival=True)
    assert [one.counted - one.recorded for one in answers] == [0] * len(answers)
    assert all(one.waited_us <= CLIENT_TIMEOUT_US // 2 for one in answers)


stamps = st.lists(st.integers(0, 3_000 * MILLISECOND_US), min_size=1, max_size=40).map(sorted)
late = st.integers(0, LATE_US_MAX)
very_late = st.integers(0, 2 * LATE_US_MAX)
sending = st.integers(SEND_US, SEND_US_MAX)
delays = st.sampled_from([0, 100 * MILLISECOND_US, 2 * MICROSECONDS])
moments = st.integers(0, 6_000 * MILLISECOND_US)


@settings(max_examples=40, deadline=None)
@given(stamps, st.lists(moments, min_size=1, max_size=2), st.integers(0, 2 * MICROSECONDS), st.data())
def test_a_summary_counts_what_the_log_held_and_nothing_that_was_charged_later(
    offsets: list[int], asked: list[int], distance_us: int, data: st.DataObject
) -> None:
    """Whatever the delay of each charge, and however late it is sent, and its answer arrives and is read."""
    charges = charges_of(
        [START_US + one for one in offsets],
        lambda _: data.draw(delays),
        lambda: data.draw(very_late),
        lambda: data.draw(sending),
        lambda: data.draw(late),
    )
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(Path(folder) / "m.duckdb", "log")) as store:
        timeline = Timeline(charges, store)
        # One question follows the other's longest wait: a timeline only goes forward.
        begin_us = START_US + min(asked)
        for asked_us in (begin_us, begin_us + WAIT_US_MAX + max(asked)):
            answer = timeline.ask(asked_us, distance_us=distance_us)
            assert answer.logged <= answer.counted <= answer.recorded
            assert answer.waited_us <= WAIT_US_MAX


@settings(max_examples=40, deadline=None)
@given(stamps, delays, moments, st.integers(0, 2 * MICROSECONDS), st.data())
def test_beside_a_charge_that_was_recorded_at_once_a_summary_equals_the_records(
    offsets: list[int], delay_us: int, asked: int, distance_us: int, data: st.DataObject
) -> None:
    """However much longer than the fastest the others take."""
    charges = charges_of(
        [START_US + one for one in offsets],
        lambda _: delay_us + data.draw(st.integers(0, MICROSECONDS)),
        lambda: data.draw(late),
        lambda: data.draw(sending),
    )
    # One each second shows from when on the answers of all others are due.
    prompt = charges_of(range(START_US, START_US + 3_001 * MILLISECOND_US, MICROSECONDS), lambda _: delay_us, lambda: 0)
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(Path(folder) / "m.duckdb", "log")) as store:
        answer = Timeline([*prompt, *charges], store).ask(START_US + asked, distance_us=distance_us)
    assert answer.counted == answer.recorded
