"""Faults beyond those of the benchmark: which are in force, and how they are drawn for each payment."""

from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from random import Random
from typing import NamedTuple

from tollgate.simulator.intermediary import (
    ERRORS,
    EXPIRED_TOKENS,
    LOOKUP_NO_ROUTES,
    NO_ROUTES,
    PAGES,
    REFUSALS,
    Interception,
    Share,
    intercepted,
)

MAX_JITTER_MS = 60_000
MAX_LAG_SECONDS = 60
_SEED_BITS = 63


class BadFaultsError(ValueError):
    """The requested faults are unknown or out of range."""


class Ending(Enum):
    """What the client receives after a charge was made."""

    ANSWERED = "answered"
    LOST = "lost"
    ERROR = "error"
    GARBAGE = "garbage"


class DrawnFault(NamedTuple):
    """The faults of one payment, all drawn when it arrives."""

    intercepted: Interception | None = None
    refused: bool = False
    refuses: bool = False
    jitter_ms: float = 0.0
    fails: bool = False
    ending: Ending = Ending.ANSWERED
    closes: bool = False


CALM = DrawnFault()


class LookupFate(NamedTuple):
    """The faults of one lookup."""

    intercepted: Interception | None = None
    refused: bool = False
    lag_seconds: float = 0.0


CALM_LOOKUP = LookupFate()


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults in force. Ratios are shares from 0 to 1 of the payments that reach the fault.

    The three endings of a charge exclude each other, so their sum is at most 1. So is that of the answers of
    intermediaries in this provider's place: those to payments (`proxy_…`), and those to lookups (expired token, no
    route).
    """

    jitter_ms: float = 0.0
    failure_ratio: float = 0.0
    lost_answer_ratio: float = 0.0
    error_after_charge_ratio: float = 0.0
    refused_ratio: float = 0.0
    garbage_ratio: float = 0.0
    close_ratio: float = 0.0
    own_refusal_ratio: float = 0.0
    """400 in the provider's own form: it will never charge this request."""
    proxy_error_ratio: float = 0.0
    """502, 503, 504 or 52x at once; the handler continues, and charges after the delay."""
    proxy_expired_token_ratio: float = 0.0
    """401 or 403, for payments and lookups; the handler is not reached."""
    proxy_no_route_ratio: float = 0.0
    """404 of an ingress; the handler is not reached."""
    proxy_refusal_ratio: float = 0.0
    """Another 4xx; half of them reach the handler."""
    proxy_page_ratio: float = 0.0
    """200 or 302 with an HTML page; the handler is not reached."""
    lookup_no_route_ratio: float = 0.0
    """404 of an ingress, for lookups."""
    lookup_refused_ratio: float = 0.0
    """429, for lookups."""
    lookup_lag_seconds: float = 0.0
    """Each lookup goes to a replica with up to this lag: 404 in the provider's own form despite the charge."""
    health_503_ratio: float = 0.0
    """The health of a failing provider is answered with status 503 and the usual JSON."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _check_range(name, value, _MAXIMA.get(name, 1))
        for exclusive in (self.proxies(), self.lookup_proxies()):
            if sum(share.ratio for share in exclusive) > 1:
                raise BadFaultsError("the ratios of answers in the provider's place must not exceed 1 together")
        if self.lost_answer_ratio + self.error_after_charge_ratio + self.garbage_ratio > 1:
            raise BadFaultsError(
                "lost_answer_ratio, error_after_charge_ratio and garbage_ratio must not exceed 1 together"
            )

    def proxies(self) -> tuple[Share, ...]:
        """The shares of payments that an intermediary answers."""
        return (
            Share(self.proxy_error_ratio, ERRORS),
            Share(self.proxy_expired_token_ratio, EXPIRED_TOKENS),
            Share(self.proxy_no_route_ratio, NO_ROUTES),
            Share(self.proxy_refusal_ratio, REFUSALS),
            Share(self.proxy_page_ratio, PAGES),
        )

    def lookup_proxies(self) -> tuple[Share, ...]:
        """The shares of lookups that an intermediary answers."""
        return Share(self.proxy_expired_token_ratio, EXPIRED_TOKENS), Share(
            self.lookup_no_route_ratio, LOOKUP_NO_ROUTES
        )


_MAXIMA = {"jitter_ms": MAX_JITTER_MS, "lookup_lag_seconds": MAX_LAG_SECONDS}
_NAMES = frozenset(field.name for field in fields(Faults))


class Dice:
    """The faults in force and the seeded source that draws from them.

    The same seed, faults and order of payments draw the same faults, independently of lookups; lookups are drawn
    separately, in their order. Nothing is drawn while no fault is in force.
    """

    def __init__(self, seed: int) -> None:
        self._faults = Faults()
        self._active = False
        self._reseed(seed)

    def change(self, changes: object) -> None:
        """Applies a JSON object of fault names and `seed`; omitted names stay as they are.

        Raises BadFaultsError and changes nothing when a name is unknown or a value is out of range.
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
        """The faults in force and the last seed set."""
        return {**asdict(self._faults), "seed": self._seed}

    def draw(self) -> DrawnFault:
        """Draws the faults of a payment that has just arrived."""
        if not self._active:
            return CALM
        faults, random = self._faults, self._random.random
        # The number and order of draws never change: one fault must not shift what is drawn for the others.
        drawn_fault = DrawnFault(
            refused=random() < faults.refused_ratio,
            jitter_ms=random() * faults.jitter_ms,
            fails=random() < faults.failure_ratio,
            ending=_ending(random(), faults),
            closes=random() < faults.close_ratio,
            refuses=random() < faults.own_refusal_ratio,
            intercepted=intercepted(random(), random(), faults.proxies()),
        )
        if drawn_fault.intercepted is None:
            return drawn_fault
        # The client has its answer already, so the faults of answer and connection do not apply.
        return drawn_fault._replace(ending=Ending.ANSWERED, closes=False)

    def draw_lookup(self) -> LookupFate:
        """Draws the faults of a lookup that has just arrived."""
        if not self._active:
            return CALM_LOOKUP
        faults, random = self._faults, self._lookup_random.random
        return LookupFate(
            intercepted=intercepted(random(), random(), faults.lookup_proxies()),
            refused=random() < faults.lookup_refused_ratio,
            lag_seconds=random() * faults.lookup_lag_seconds,
        )

    def draw_health_503(self) -> bool:
        """Draws whether the health of a failing provider is answered with status 503."""
        return self._health_random.random() < self._faults.health_503_ratio

    def _reseed(self, seed: int) -> None:
        self._seed = seed
        # They draw reproducible faults, not secrets.
        self._random = Random(seed)  # noqa: S311
        self._lookup_random = Random(seed + 1)  # noqa: S311
        self._health_random = Random(seed + 2)  # noqa: S311


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
