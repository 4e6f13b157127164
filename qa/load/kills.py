"""The plan of kills, and when the summary recovered after them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

# The kills are in the middle of the run: enough load before each of them, enough time after the last.
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
    """A kill; `pids` is empty when there was no process."""

    program: str
    at_seconds: float
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Poll:
    """Whether the summary of a past window equalled the provider records."""

    after_seconds: float
    """Time of the answer since the last kill."""
    equal: bool


def plan_kills(programs: Sequence[str], run_seconds: float, seed: int) -> list[PlannedKill]:
    """One kill of each program, in an order and at times drawn from the seed, spread evenly over the middle."""
    rng = random.Random(seed)  # noqa: S311 - wanted: the same plan again for the same seed
    order = rng.sample(list(programs), len(programs))
    slot_seconds = run_seconds * (LAST_SHARE - FIRST_SHARE) / max(1, len(order))
    first_seconds = run_seconds * FIRST_SHARE
    return [
        PlannedKill(program, first_seconds + slot_seconds * (number + rng.random()))
        for number, program in enumerate(order)
    ]


def recovered_after_seconds(polls: Sequence[Poll]) -> float | None:
    """The first answer from which on all are equal; None while the last one still differs.

    The first equal answer alone proves nothing: right after the kill a charge may still be under way.
    """
    recovered: float | None = None
    for poll in polls:
        if not poll.equal:
            recovered = None
        elif recovered is None:
            recovered = poll.after_seconds
    return recovered


def recovering(asked_seconds: float, answered_seconds: float, kills: Sequence[Kill]) -> bool:
    """Whether an answer is within the recovery time of a kill; all in seconds since the run began."""
    return any(
        kill.pids and kill.at_seconds <= answered_seconds and asked_seconds <= kill.at_seconds + RECOVERY_SECONDS_MAX
        for kill in kills
    )
