"""Faults beyond the official ones: which are switched on, and how each payment's share of them is drawn."""

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
    """The faults asked for are unknown or out of range."""


class Ending(Enum):
    """What a client sees of a charge that was made."""

    ANSWERED = "answered"
    LOST = "lost"
    ERROR = "error"
    GARBAGE = "garbage"


class DrawnFault(NamedTuple):
    """What will happen to one payment, drawn whole when it arrives."""

    intercepted: Interception | None = None
    refused: bool = False
    refuses: bool = False
    jitter_ms: float = 0.0
    fails: bool = False
    ending: Ending = Ending.ANSWERED
    closes: bool = False


CALM = DrawnFault()


class LookupFate(NamedTuple):
    """What will happen to one lookup."""

    intercepted: Interception | None = None
    refused: bool = False
    lag_seconds: float = 0.0


CALM_LOOKUP = LookupFate()


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults in force. Ratios are shares from 0 to 1 of the payments that get as far as the fault.

    The three endings of a charge exclude each other, so together they make at most 1. So do the answers that somebody
    in between gives in this processor's place: those to payments (`proxy_…`), and those to lookups (an expired token,
    no route).
    """

    jitter_ms: float = 0.0
    failure_ratio: float = 0.0
    lost_answer_ratio: float = 0.0
    error_after_charge_ratio: float = 0.0
    refused_ratio: float = 0.0
    garbage_ratio: float = 0.0
    close_ratio: float = 0.0
    own_refusal_ratio: float = 0.0
    """400 by the processor's own word: it will never charge this request."""
    proxy_error_ratio: float = 0.0
    """502, 503, 504 or 52x at once; the handler goes on, and charges after the delay."""
    proxy_expired_token_ratio: float = 0.0
    """401 or 403, of payments and of lookups; the handler is not reached."""
    proxy_no_route_ratio: float = 0.0
    """404 of an ingress; the handler is not reached."""
    proxy_refusal_ratio: float = 0.0
    """Another 4xx; the handler is reached by every other one."""
    proxy_page_ratio: float = 0.0
    """200 or 302 with a page for people; the handler is not reached."""
    lookup_no_route_ratio: float = 0.0
    """404 of an ingress to a lookup."""
    lookup_refused_ratio: float = 0.0
    """429 to a lookup."""
    lookup_lag_seconds: float = 0.0
    """Each lookup asks a replica that lags by up to so long: 404 in its own form, though the charge stands."""
    health_503_ratio: float = 0.0
    """Health of a failing processor with the status 503, and the usual JSON."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _check_range(name, value, _MAXIMA.get(name, 1))
        for exclusive in (self.proxies(), self.lookup_proxies()):
            if sum(share.ratio for share in exclusive) > 1:
                raise BadFaultsError("what is answered in the processor's place must not exceed 1 together")
        if self.lost_answer_ratio + self.error_after_charge_ratio + self.garbage_ratio > 1:
            raise BadFaultsError(
                "lost_answer_ratio, error_after_charge_ratio and garbage_ratio must not exceed 1 together"
            )

    def proxies(self) -> tuple[Share, ...]:
        """What is answered to payments in the processor's place."""
        return (
            Share(self.proxy_error_ratio, ERRORS),
            Share(self.proxy_expired_token_ratio, EXPIRED_TOKENS),
            Share(self.proxy_no_route_ratio, NO_ROUTES),
            Share(self.proxy_refusal_ratio, REFUSALS),
            Share(self.proxy_page_ratio, PAGES),
        )

    def lookup_proxies(self) -> tuple[Share, ...]:
        """What is answered to lookups in its place."""
        return Share(self.proxy_expired_token_ratio, EXPIRED_TOKENS), Share(
            self.lookup_no_route_ratio, LOOKUP_NO_ROUTES
        )


_MAXIMA = {"jitter_ms": MAX_JITTER_MS, "lookup_lag_seconds": MAX_LAG_SECONDS}
_NAMES = frozenset(field.name for field in fields(Faults))


class Dice:
    """The faults in force and the seeded source that draws from them.

    The same seed, the same faults and the same order of payments give the same fates, whatever is looked up meanwhile;
    and the same order of lookups gives theirs. While no fault is switched on nothing is drawn.
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

    def draw(self) -> DrawnFault:
        """The fate of the payment that has just arrived."""
        if not self._active:
            return CALM
        faults, random = self._faults, self._random.random
        # Always as many draws, in this order: a fault switched on must not shift what is drawn for the others.
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
        # The client has its answer already: nothing is left to be done to it or to its connection.
        return drawn_fault._replace(ending=Ending.ANSWERED, closes=False)

    def draw_lookup(self) -> LookupFate:
        """The fate of the lookup that has just arrived."""
        if not self._active:
            return CALM_LOOKUP
        faults, random = self._faults, self._lookup_random.random
        return LookupFate(
            intercepted=intercepted(random(), random(), faults.lookup_proxies()),
            refused=random() < faults.lookup_refused_ratio,
            lag_seconds=random() * faults.lookup_lag_seconds,
        )

    def draw_health_503(self) -> bool:
        """Whether the health of a failing processor is told with status 503."""
        return self._health_random.random() < self._faults.health_503_ratio

    def _reseed(self, seed: int) -> None:
        self._seed = seed
        # They draw faults to be replayed, not secrets.
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
