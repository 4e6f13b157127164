"""The history of a run: clients, log, provider records and read model. Times are microseconds UTC."""

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
    """One sending of a request; without an answer, `status` is None and `note` the reason."""

    sent_at_us: int
    answered_at_us: int
    status: int | None
    note: str = ""


@dataclass(slots=True)
class Request:
    """A client's request, sent again until it was answered or the client gave up.

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


ReadModelRows = tuple[Sequence[Settled], Sequence[str]]
"""The settled payments of a read model, and the ids of the rejected ones."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A summary query of a client; `summary` is None when it was not answered."""

    window: Window
    asked_at_us: int
    status: int | None
    summary: Summary | None = None
    settled: bool = False


@dataclass(slots=True)
class History:
    """The whole history. Records are by provider; the read model is None when it could not be read."""

    requests: Sequence[Request] = ()
    log: Sequence[Logged] = ()
    provider_records: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    refusals: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By provider: the payments that it rejected by its own answer."""
    rows: Sequence[Settled] | None = None
    rejected_rows: Sequence[str] = ()
    standby: ReadModelRows | None = None
    """Those of the projector that followed as a standby, if there was one."""
    asked: Sequence[Asked] = ()
    final: Summary | None = None
    """The gateway's summary of everything, queried after healing; None when the run did not get so far."""
    is_unsettled: bool = False
    """Whether that summary was marked as one that may still change."""
    forgotten: Sequence[str] = ()
    """Payments that were answered with 202, and later with 404."""
