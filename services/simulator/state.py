"""The state of one simulated provider: options, recorded charges, switches and counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tollgate.simulator.admission import Admission
from tollgate.simulator.book import Book
from tollgate.simulator.faults import MAX_LAG_SECONDS, Dice
from tollgate.simulator.health import HealthAllowance
from tollgate.simulator.memory import BookFile
from tollgate.simulator.refusals import Refusals
from tollgate.simulator.replica import Replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings fixed at the start; `fee` is a ratio of the amount, `seed` draws the faults."""

    name: str
    host: str
    port: int
    fee: Decimal
    token: str
    seed: int
    max_payments: int
    max_concurrent: int
    max_waiting: int
    health_interval_seconds: float
    book: Path | None = None
    """The file of the charges, with that of the rejections beside it; None keeps both in memory only."""
    faults: Mapping[str, float] = field(default_factory=dict)
    """Faults in force from the start."""


@dataclass(slots=True)
class Stats:
    """Counts since the program started; a purge does not touch them."""

    charges: int = 0
    duplicates: int = 0
    malformed: int = 0
    injected_failures: int = 0
    book_full: int = 0
    lost_answers: int = 0
    errors_after_charge: int = 0
    garbage_answers: int = 0
    closed_connections: int = 0
    refused_by_limit: int = 0
    refused_by_fault: int = 0
    own_refusals: int = 0
    proxy_errors: int = 0
    proxy_expired_tokens: int = 0
    proxy_no_routes: int = 0
    proxy_refusals: int = 0
    proxy_pages: int = 0
    charges_behind_proxy: int = 0
    """Charges after an intermediary had already answered the client."""
    lookups: int = 0
    lookup_no_routes: int = 0
    lookups_refused: int = 0
    lookups_lagging: int = 0
    """404 although the charge was made."""
    health_calls: int = 0
    health_refused: int = 0
    health_503: int = 0

    def add(self, name: str) -> None:
        """Adds one to the count `name`."""
        setattr(self, name, getattr(self, name) + 1)


@dataclass(slots=True)
class State:
    """Everything a request can read or change."""

    options: Options
    token: str = field(init=False)
    delay_ms: int = 0
    failing: bool = False
    stats: Stats = field(default_factory=Stats)
    book: Book = field(init=False)
    _file: BookFile | None = field(init=False)
    dice: Dice = field(init=False)
    admission: Admission = field(init=False)
    health: HealthAllowance = field(init=False)
    refusals: Refusals = field(init=False)
    replica: Replica = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        self.token = options.token
        self.dice = Dice(options.seed)
        self.dice.change(options.faults)
        self.replica = Replica(MAX_LAG_SECONDS)
        self.admission = Admission(options.max_concurrent, options.max_waiting)
        self.health = HealthAllowance(options.health_interval_seconds)
        self._file = BookFile(options.book) if options.book else None
        beside = options.book.with_name(f"{options.book.name}.refused") if options.book else None
        self.refusals = Refusals(options.max_payments, beside)
        self.book = self._empty_book()
        if self._file:
            self.book.remember(self._file.payments())

    def purge(self) -> None:
        """Replaces the records by empty ones; a request that still reads the old ones reads them to their end."""
        if self._file:
            self._file.clear()
        self.refusals.clear()
        self.book = self._empty_book()

    def _empty_book(self) -> Book:
        return Book(self.options.max_payments, self._file.append) if self._file else Book(self.options.max_payments)
