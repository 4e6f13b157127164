"""Faults beyond the official ones: which are switched on, and how each payment's share of them is drawn."""

from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from random import Random
from typing import NamedTuple

MAX_JITTER_MS = 60_000
_SEED_BITS = 63


class BadFaultsError(ValueError):
    """The faults asked for are unknown or out of range."""


class Ending(Enum):
    """What a client sees of a charge that was made."""

    ANSWERED = "answered"
    LOST = "lost"
    ERROR = "error"
    GARBAGE = "garbage"


class Fate(NamedTuple):
    """What will happen to one payment, drawn whole when it arrives."""

    refused: bool = False
    jitter_ms: float = 0.0
    fails: bool = False
    ending: Ending = Ending.ANSWERED
    closes: bool = False


CALM = Fate()


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults in force. Ratios are shares from 0 to 1 of the payments that get as far as the fault.

    The three endings of a charge exclude each other, so together they make at most 1.
    """

    jitter_ms: float = 0.0
    failure_ratio: float = 0.0
    lost_answer_ratio: float = 0.0
    error_after_charge_ratio: float = 0.0
    refused_ratio: float = 0.0
    garbage_ratio: float = 0.0
    close_ratio: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _check_range(name, value, MAX_JITTER_MS if name == "jitter_ms" else 1)
        if self.lost_answer_ratio + self.error_after_charge_ratio + self.garbage_ratio > 1:
            raise BadFaultsError(
                "lost_answer_ratio, error_after_charge_ratio and garbage_ratio must not exceed 1 together"
            )


_NAMES = frozenset(field.name for field in fields(Faults))


class Dice:
    """The faults in force and the seeded source that draws from them.

    The same seed, the same faults and the same order of payments give the same fates. While no fault is switched on
    nothing is drawn.
    """

    def __init__(self, seed: int) -> None:
        self._faults = Faults()
        self._active = False
        self._reseed(seed)

    def change(self, changes: object) -> None:
        """Applies a JSON object of fault names and `seed`; names it leaves out stay as they are.

        Raises BadFaultsError, and changes nothing, when a name is unknown or a value out of range.
        """
        if not isinstance(changes, dict):
            raise BadFaultsError("faults must be a JSON object")
        settings = dict(changes)
        seed = settings.pop("seed", None)
        if "seed" in changes:
            _check_seed(seed)
        if unknown := settings.keys() - _NAMES:
            raise BadFaultsError(f"unknown faults: {', '.join(sorted(unknown))}")
        faults = replace(self._faults, **settings)
        self._faults, self._active = faults, faults != Faults()
        if seed is not None:
            self._reseed(seed)

    def as_dict(self) -> dict[str, float]:
        """The faults in force and the seed last given."""
        return {**asdict(self._faults), "seed": self._seed}

    def draw(self) -> Fate:
        """The fate of the payment that has just arrived."""
        if not self._active:
            return CALM
        faults, random = self._faults, self._random.random
        # Always five draws, in this order: a fault switched on must not shift what is drawn for the others.
        return Fate(
            refused=random() < faults.refused_ratio,
            jitter_ms=random() * faults.jitter_ms,
            fails=random() < faults.failure_ratio,
            ending=_ending(random(), faults),
            closes=random() < faults.close_ratio,
        )

    def _reseed(self, seed: int) -> None:
        self._seed = seed
        self._random = Random(seed)  # noqa: S311 - it draws faults to be replayed, not secrets


def _ending(drawn: float, faults: Faults) -> Ending:
    if drawn < faults.lost_answer_ratio:
        return Ending.LOST
    if drawn < faults.lost_answer_ratio + faults.error_after_charge_ratio:
        return Ending.ERROR
    if drawn < faults.lost_answer_ratio + faults.error_after_charge_ratio + faults.garbage_ratio:
        return Ending.GARBAGE
    return Ending.ANSWERED


def _check_range(name: str, value: object, maximum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum:
        raise BadFaultsError(f"{name} must be a number from 0 to {maximum}")


def _check_seed(seed: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << _SEED_BITS:
        raise BadFaultsError(f"seed must be an integer from 0 to 2^{_SEED_BITS} - 1")
