"""What a run has seen: of the clients, of the log, of the books, of the read model. Times are microseconds UTC."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from qa.load.provider_records import Entry, Summary
from qa.load.window import Window
from tollgate.contract.events import Event

Outcome = Literal["ok", "refused", "unknown"]
Purpose = Literal["first", "repeat", "conflict"]


@dataclass(slots=True)
class Try:
    """One sending of a request; `status` is None when no answer came, and `note` says why."""

    sent_at_us: int
    answered_at_us: int
    status: int | None
    note: str = ""


@dataclass(slots=True)
class Request:
    """One client's wish, sent again until it was answered or the client lost patience.

    Several requests can have the same `payment_id`: repeats, and conflicts, which name another amount.
    """

    payment_id: str
    cents: int
    purpose: Purpose
    tries: list[Try] = field(default_factory=list)
    outcome: Outcome = "unknown"


@dataclass(frozen=True, slots=True)
class Logged:
    """One event of the log."""

    sequence: int
    stored_at_us: int
    event: Event


@dataclass(frozen=True, slots=True)
class Settled:
    """A row of the read model."""

    payment_id: str
    provider: str
    cents: int
    requested_at_us: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A summary that a client asked for; None, with the status, when it was not given."""

    window: Window
    asked_at_us: int
    status: int | None
    summary: Summary | None = None
    settled: bool = False


@dataclass(slots=True)
class History:
    """All of it. The books are by processor; the read model is None when it could not be read."""

    requests: Sequence[Request] = ()
    log: Sequence[Logged] = ()
    provider_records: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    refusals: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By processor: the payments that it refused for good, by its own word."""
    rows: Sequence[Settled] | None = None
    rejected_rows: Sequence[str] = ()
    asked: Sequence[Asked] = ()
    final: Summary | None = None
    """The gateway's summary of everything, asked when all had healed; None when the run did not get so far."""
    forgotten: Sequence[str] = ()
    """Payments that a client was told were accepted, and then that nobody knows of."""
