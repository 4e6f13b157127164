"""A summary of a window that ends near now equals the provider's records of that moment, although answers come late.

The real projection and store in simulated time: a provider that charges after a delay, answers that are received up to
half a second after the charge, and questions for the window that ends two seconds ago.
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
from tollgate.projector.live.charge_delays import ChargeDelays
from tollgate.projector.live.projection import Change, Projection
from tollgate.projector.live.store import Checkpoint, Store

MILLISECOND_US = 1_000
START_US = 1_800_000_000 * MICROSECONDS
SEND_US = 3 * MILLISECOND_US
"""From the stamp of an attempt until the provider has its request."""
APPEND_US = 5 * MILLISECOND_US
"""From the answer until the read model has its PaymentProcessed."""
LATE_US_MAX = 500 * MILLISECOND_US
WAIT_US_MAX = 750 * MILLISECOND_US
CLIENT_TIMEOUT_US = 1_500 * MILLISECOND_US


@dataclass(frozen=True, slots=True)
class Charge:
    """One attempt: when it was stamped, charged, and its answer received."""

    stamp_us: int
    charged_us: int
    heard_us: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a summary counted, what the provider's records held, what the log held, and how long the summary waited."""

    counted: int
    recorded: int
    logged: int
    waited_us: int


def charges_of(stamps_us: Sequence[int], delay_us: Callable[[int], int], late_us: Callable[[], int]) -> list[Charge]:
    made = []
    for stamp_us in stamps_us:
        charged_us = stamp_us + SEND_US + delay_us(stamp_us)
        made.append(Charge(stamp_us, charged_us, charged_us + late_us()))
    return made


class Timeline:
    """The events of some charges in the order in which the read model gets them, and questions between them."""

    def __init__(self, charges: Sequence[Charge], store: Store) -> None:
        self._charges = charges
        self._store = store
        self._projection = Projection(lambda _: None)
        events: list[tuple[int, Event]] = []
        for number, one in enumerate(charges):
            name = str(UUID(int=number))
            events.append((one.stamp_us, PaymentRequested(name, 1, one.stamp_us)))
            events.append((one.stamp_us, PaymentRouted(name, 1, 1, "default", one.stamp_us, "test")))
            processed = PaymentProcessed(name, 1, 1, "default", one.stamp_us, one.heard_us)
            events.append((one.heard_us + APPEND_US, processed))
        self._events = sorted(events, key=lambda event: event[0])
        self._sequence = 0

    def ask(self, asked_us: int, *, distance_us: int, wait_us_max: int = WAIT_US_MAX, infers: bool = True) -> Answer:
        """The window of 15 s that ends `distance_us` before the question.

        Without `infers` the providers' delays are not used: the rule of decision 5, for comparison.
        """
        question = SummaryQuestion(asked_us - 15 * MICROSECONDS, asked_us - distance_us)
        self._read_to(asked_us)
        log_end = self._sequence
        waiting = list(self._projection.attempts_in(question.from_us, question.to_us))
        now_us = asked_us
        while now_us < asked_us + wait_us_max and (
            not infers or any(self._projection.is_answer_due(*one, asked_us) for one in waiting)
        ):
            now_us += MILLISECOND_US
            self._read_to(now_us)
        delays = self._projection.delays if infers else ChargeDelays()
        totals, _ = self._store.totals(question, asked_at_us=asked_us, log_end=log_end, delays=delays)
        inside = [
            one for one in self._charges if asked_us - 15 * MICROSECONDS <= one.stamp_us <= asked_us - distance_us
        ]
        return Answer(
            totals["default"].count,
            sum(one.charged_us <= asked_us for one in inside),
            sum(one.heard_us + APPEND_US <= asked_us for one in inside),
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
    """Half of the answers are received at once, the others up to LATE_US_MAX late."""
    return lambda: rng.choice([0, rng.randint(0, LATE_US_MAX)])


def slow_in_the_middle_us(stamp_us: int) -> int:
    """A provider that is slow, 2 s, from its 20th to its 50th second."""
    return 2 * MICROSECONDS if 20 <= (stamp_us - START_US) / MICROSECONDS < 50 else 0


def judged(tmp_path: Path, seed: int, **rule: object) -> list[Answer]:
    rng = random.Random(seed)
    stamps_us = sorted(START_US + rng.randrange(70 * MICROSECONDS) for _ in range(70 * 60))
    charges = charges_of(stamps_us, slow_in_the_middle_us, burst_late_us(rng))
    with closing(Store.open(tmp_path / f"{seed}-{len(rule)}.duckdb", "log")) as store:
        timeline = Timeline(charges, store)
        return [
            timeline.ask(START_US + second * MICROSECONDS, distance_us=2 * MICROSECONDS, **rule)  # type: ignore[arg-type]
            for second in (15, 25, 35, 45, 55, 65)
        ]


@pytest.mark.parametrize("seed", range(3))
def test_the_windows_of_a_slow_provider_equal_its_records(tmp_path: Path, seed: int) -> None:
    before = judged(tmp_path, seed, wait_us_max=100 * MILLISECOND_US, infers=False)
    assert any(one.counted < one.recorded for one in before), "the simulation does not reach the case"
    now = judged(tmp_path, seed)
    assert [one.counted - one.recorded for one in now] == [0] * len(now)
    assert all(one.waited_us <= CLIENT_TIMEOUT_US // 2 for one in now)


stamps = st.lists(st.integers(0, 3_000 * MILLISECOND_US), min_size=1, max_size=40).map(sorted)
late = st.integers(0, LATE_US_MAX)
delays = st.sampled_from([0, 100 * MILLISECOND_US, 2 * MICROSECONDS])
moments = st.integers(0, 6_000 * MILLISECOND_US)


@settings(max_examples=40, deadline=None)
@given(stamps, delays, st.lists(moments, min_size=1, max_size=2), st.integers(0, 2 * MICROSECONDS), st.data())
def test_a_summary_counts_what_the_log_held_and_nothing_that_was_charged_later(
    offsets: list[int], delay_us: int, asked: list[int], distance_us: int, data: st.DataObject
) -> None:
    charges = charges_of([START_US + one for one in offsets], lambda _: delay_us, lambda: data.draw(late))
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
def test_beside_a_charge_that_was_answered_at_once_a_summary_equals_the_records(
    offsets: list[int], delay_us: int, asked: int, distance_us: int, data: st.DataObject
) -> None:
    charges = charges_of([START_US + one for one in offsets], lambda _: delay_us, lambda: data.draw(late))
    # One each second shows the delay of all others.
    prompt = charges_of(range(START_US, START_US + 3_001 * MILLISECOND_US, MICROSECONDS), lambda _: delay_us, lambda: 0)
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(Path(folder) / "m.duckdb", "log")) as store:
        answer = Timeline([*prompt, *charges], store).ask(START_US + asked, distance_us=distance_us)
    assert answer.counted == answer.recorded
