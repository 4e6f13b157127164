"""When which program is killed, and what may be expected afterwards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

# The kills fall into the middle of the run: enough load before each of them, enough time after the last.
FIRST_SHARE = 0.2
LAST_SHARE = 0.8
RECOVERY_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class PlannedKill:
    program: str
    at_seconds: float
    """Since the run began."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One that happened, or could not: then `pids` is empty."""

    program: str
    at_seconds: float
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Poll:
    """Whether the summary of a passed window equalled the books."""

    after_seconds: float
    """Since the last kill, when the answer was there."""
    equal: bool


def plan_kills(programs: Sequence[str], run_seconds: float, seed: int) -> list[PlannedKill]:
    """One moment for each program, in an order and at times that the seed fixes, spread evenly over the middle."""
    rng = random.Random(seed)  # noqa: S311 - wanted: the same plan again for the same seed
    order = rng.sample(list(programs), len(programs))
    slot_seconds = run_seconds * (LAST_SHARE - FIRST_SHARE) / max(1, len(order))
    first_seconds = run_seconds * FIRST_SHARE
    return [
        PlannedKill(program, first_seconds + slot_seconds * (number + rng.random()))
        for number, program in enumerate(order)
    ]


def recovered_after_seconds(polls: Sequence[Poll]) -> float | None:
    """The first of the equal answers that no other answer followed; None while the last one still differs.

    The first equal answer alone proves nothing: right after the kill a charge may still be on its way to the books.
    """
    recovered: float | None = None
    for poll in polls:
        if not poll.equal:
            recovered = None
        elif recovered is None:
            recovered = poll.after_seconds
    return recovered


def recovering(asked_seconds: float, answered_seconds: float, kills: Sequence[Kill]) -> bool:
    """Whether an answer falls into the time that a kill may take to heal; all in seconds since the run began."""
    return any(
        kill.pids and kill.at_seconds <= answered_seconds and asked_seconds <= kill.at_seconds + RECOVERY_SECONDS_MAX
        for kill in kills
    )
