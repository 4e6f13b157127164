"""Every payment as the log records it, in tables beside the read model, so that the two can be compared.

DuckDB holds them in memory up to its limit, and on disk beyond; the ids in `contract/expected_ledger.py` take about 100
bytes for each payment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb

from tollgate.contract.events import (
    Event,
    LedgerPurged,
    PaymentProcessed,
    PaymentRejected,
    PaymentRouted,
    ProviderName,
)
from tollgate.contract.expected_ledger import Ledger
from tollgate.contract.log_mark import LogMark
from tollgate.contract.read_model_api import Total
from tollgate.messaging.stored_message import StoredMessage
from tollgate.messaging.validity import valid_events
from tollgate.projector.read.readonly import MEMORY_LIMIT
from tollgate.projector.verify.differences import Difference, Differences

_NAMES = ("settled", "rejected", "attempts")


@dataclass(frozen=True, slots=True)
class Window:
    """A window of stamps. Both bounds are inclusive, in microseconds since the epoch."""

    from_us: int
    to_us: int

    @property
    def parameters(self) -> list[int]:
        return [self.from_us, self.to_us]

    def __contains__(self, moment_us: object) -> bool:
        return isinstance(moment_us, int) and self.from_us <= moment_us <= self.to_us


@dataclass(frozen=True, slots=True)
class Candidate:
    """A payment that a provider may have charged in a window. `expected` is the charge there according to the log."""

    correlation_id: str
    state: str
    expected: tuple[int, int] | None
    """Cents and stamp."""


class LedgerTables:
    """The tables: filled from the log with `fold`, then compared with the read model."""

    def __init__(self, model: Path, temporary: Path) -> None:
        self._connection = duckdb.connect(
            config={"memory_limit": MEMORY_LIMIT, "threads": 2, "temp_directory": str(temporary)}
        )
        self._connection.execute(_sql("ledger_tables"))
        path = str(model).replace("'", "''")
        self._connection.execute(f"ATTACH '{path}' AS model (READ_ONLY)")
        self._rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in _NAMES}
        self.ledger = Ledger()
        self.poison_events = 0
        self.purged_at_us: int | None = None
        """The time of the last purge; None if there was none."""

    def close(self) -> None:
        self._connection.close()

    def log_mark(self) -> LogMark:
        """The mark of the log that the read model was built from, as of its last checkpoint."""
        ((identity, position),) = self._read(
            "SELECT log_identity, (SELECT coalesce(max(position), 0) FROM model.checkpoint) FROM model.meta"
        )
        known = self._read("SELECT table_name FROM duckdb_tables() WHERE database_name = 'model'")
        if ("log_mark",) not in known:
            return LogMark(identity, end=position)
        marks = self._read("SELECT position, stored_at_us FROM model.log_mark ORDER BY position DESC LIMIT 1")
        sequence, stored_at_us = marks[0] if marks else (0, 0)
        return LogMark(identity, sequence, stored_at_us, end=position)

    def fold(self, messages: Iterable[StoredMessage]) -> None:
        """Folds the next messages of the log."""
        for message in messages:
            events = valid_events(message.sequence, message.subject, message.payload)
            if events is None:
                self.poison_events += 1
                continue
            for event in events:
                self._take(message.sequence, event, ends=self.ledger.apply(message.sequence, event))
        self._flush()

    def compare_with_model(self, window: Window, differences: Differences) -> None:
        """Adds every difference between the log and the read model; settled payments only inside the window."""
        self._compare(_sql("settled_differences"), window.parameters * 2, differences)
        self._compare(_sql("rejected_differences"), [], differences)

    def total(self, provider: ProviderName, window: Window) -> Total:
        """The provider's charges according to the log, plus those found charged but not yet recorded."""
        return self._total("charged", provider, window)

    def log_total(self, provider: ProviderName, window: Window) -> Total:
        """The provider's charges according to the log."""
        return self._total("settled", provider, window)

    def model_total(self, provider: ProviderName, window: Window) -> Total:
        """The provider's charges according to the read model."""
        return self._total("model.settled", provider, window)

    def rejected_counts(self) -> tuple[int, int]:
        """The number of rejected payments in the log and in the read model."""
        ((log, model),) = self._read("SELECT (SELECT count(*) FROM rejected), (SELECT count(*) FROM model.rejected)")
        return log, model

    def add_charge_since(self, correlation_id: str, provider: ProviderName, cents: int, stamp_us: int) -> None:
        """Adds a charge of an open attempt whose outcome was not in the log yet."""
        self._connection.execute(
            "INSERT INTO charged_since VALUES (?, ?, ?, ?)", [UUID(correlation_id), provider, cents, stamp_us]
        )

    def candidates(self, provider: ProviderName, window: Window, count_max: int) -> list[Candidate]:
        """Payments that the provider may have charged in the window: those that it should have charged first."""
        rows = self._read(_sql("candidates"), [provider, *window.parameters, count_max])
        return [
            Candidate(correlation_id, state, None if cents is None else (cents, stamp_us))
            for correlation_id, state, cents, stamp_us in rows
        ]

    def settled_page(self, window: Window, after: int, count_max: int) -> list[tuple[int, str, ProviderName, int, int]]:
        """Settled payments of the window after row `after`: row, id, provider, cents and stamp."""
        return self._read(_SETTLED_PAGE, [after, *window.parameters, count_max])

    def rejected_page(self, after: int, count_max: int) -> list[tuple[int, str]]:
        """Rejected payments after row `after`: row and id."""
        return self._read(_REJECTED_PAGE, [after, count_max])

    def _take(self, sequence: int, event: Event, *, ends: bool) -> None:
        match event:
            case PaymentRouted():
                self._rows["attempts"].append((UUID(event.correlation_id), event.provider, event.requested_at_us))
            case PaymentProcessed() if ends:
                self._rows["settled"].append(
                    (
                        *(UUID(event.correlation_id), event.provider, event.amount_cents),
                        *(event.requested_at_us, event.processed_at_us, event.attempt, sequence),
                    )
                )
            case PaymentRejected() if ends:
                self._rows["rejected"].append((UUID(event.correlation_id), event.amount_cents, event.reason))
            case LedgerPurged():
                self.purged_at_us = event.purged_at_us
                for name in _NAMES:
                    self._rows[name].clear()
                    self._connection.execute(f"TRUNCATE {name}")

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            if rows:
                appender = self._connection.appender(name)
                appender.append_rows(rows)
                appender.flush()
                rows.clear()

    def _compare(self, query: str, parameters: Sequence[object], differences: Differences) -> None:
        self._connection.execute("CREATE OR REPLACE TEMP TABLE found AS " + query, list(parameters))
        named = self._read("SELECT what, correlation_id::VARCHAR, detail FROM found LIMIT ?", [differences.named_max])
        for what, correlation_id, detail in named:
            differences.add(Difference(what, correlation_id, None, detail))
        for what, count in self._read("SELECT what, count(*) FROM found GROUP BY what"):
            differences.add_unnamed(what, count - sum(1 for one in named if one[0] == what))

    def _total(self, source: str, provider: ProviderName, window: Window) -> Total:
        query = f"""
            SELECT count(*), coalesce(sum(amount_cents), 0)::BIGINT FROM {source}
            WHERE processor = ? AND requested_at_us BETWEEN ? AND ?"""  # noqa: S608 - the sources are constants
        return Total(*self._read(query, [provider, *window.parameters])[0])

    def _read(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        return self._connection.execute(query, list(parameters)).fetchall()


_SETTLED_PAGE = """
SELECT rowid, correlation_id::VARCHAR, processor, amount_cents, requested_at_us
FROM settled WHERE rowid > ? AND requested_at_us BETWEEN ? AND ? ORDER BY rowid LIMIT ?
"""
_REJECTED_PAGE = "SELECT rowid, correlation_id::VARCHAR FROM rejected WHERE rowid > ? ORDER BY rowid LIMIT ?"


def _sql(name: str) -> str:
    return resources.files("tollgate.projector").joinpath("sql").joinpath(f"{name}.sql").read_text()
