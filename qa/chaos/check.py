"""Judges a history: a verdict, column by column. Pure, in the manner of Jepsen.

It shares no rule with the product: the log is folded here independently, by the rules in docs/reference/events.md only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from qa.chaos.clock import clock_text, us_of
from qa.chaos.history import Asked, History, Request, Settled
from qa.load.provider_records import PROVIDERS, Entry, Summary, Totals
from qa.load.window import Window
from tollgate.contract.events import (
    Event,
    PaymentInDoubt,
    PaymentProcessed,
    PaymentRejected,
    PaymentReleased,
    PaymentRequested,
    PaymentRouted,
)

COLUMNS = {
    "lost": "accepted, and neither charged nor rejected",
    "charged twice": "in both providers' records, or in one's more than once",
    "invented": "charged or requested, but sent by no client",
    "wrong amount": "charged or recorded with another amount than was accepted",
    "conflict accepted": "two amounts accepted for one id",
    "refused": "refused without a reason, or charged although every client was refused",
    "wrong processor": "recorded at another provider than the one that charged",
    "rejected, charged": "rejected for good in the log, and charged",
    "rejected, unfounded": "rejected in the log, and no provider rejected it or holds another amount",
    "unrecorded": "charged, and not processed in the log; or the other way round",
    "requestedAt": "the stamp in the log is not that of the provider's record",
    "summary": "the summary of everything differs from the provider records, or does not settle",
    "settled, changed": "a summary was marked settled, and its window changed later",
    "read model": "its rows differ from the log",
    "forgotten": "accepted, and later answered with 404",
    "not ended": "not processed or rejected within the bound after everything healed",
}
"""The broken promises that are counted. A run is clean when all counts are zero."""

SETTLED_AFTER_US = 1_000_000
"""A settled window that ended this long before the query is final (docs/decisions/0005)."""


@dataclass(frozen=True, slots=True)
class Offence:
    """One broken promise. `payment_id` is empty where it is not of a single payment."""

    payment_id: str
    text: str


@dataclass(slots=True)
class Verdict:
    columns: dict[str, list[Offence]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    @property
    def clean(self) -> bool:
        return not any(self.columns.values())

    def counts(self) -> dict[str, int]:
        return {name: len(found) for name, found in self.columns.items()}

    def blame(self, column: str, payment_id: str, text: str) -> None:
        self.columns[column].append(Offence(payment_id, text))


State = Literal["pending", "routed", "in doubt", "processed", "rejected"]


@dataclass(slots=True)
class Ledger:
    """The log, folded by payment. The first event of a kind counts; repeats have no effect."""

    requested: dict[str, PaymentRequested] = field(default_factory=dict)
    processed: dict[str, PaymentProcessed] = field(default_factory=dict)
    rejected: dict[str, PaymentRejected] = field(default_factory=dict)
    _open: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """The number of the open attempt, and whether it is in doubt."""
    _released: dict[str, int] = field(default_factory=dict)
    """The number of the last released attempt; the next attempt has the next number."""

    @classmethod
    def of(cls, history: History) -> Ledger:
        ledger = cls()
        for logged in history.log:
            ledger.apply(logged.event)
        return ledger

    def apply(self, event: Event) -> None:
        match event:
            case PaymentRequested(payment_id):
                self.requested.setdefault(payment_id, event)
            case PaymentRouted(payment_id) if self._may_open(payment_id, event.attempt):
                self._open[payment_id] = (event.attempt, False)
            case PaymentInDoubt(payment_id, attempt) if self._open.get(payment_id) == (attempt, False):
                self._open[payment_id] = (attempt, True)
            case PaymentReleased(payment_id, attempt) if self._open.get(payment_id) == (attempt, False):
                del self._open[payment_id]
                self._released[payment_id] = attempt
            case PaymentProcessed(payment_id):
                self._open.pop(payment_id, None)
                self.processed.setdefault(payment_id, event)
            case PaymentRejected(payment_id) if not self._is_in_doubt(payment_id) and not self.ended(payment_id):
                self._open.pop(payment_id, None)
                self.rejected[payment_id] = event

    def ended(self, payment_id: str) -> bool:
        return payment_id in self.processed or payment_id in self.rejected

    def state(self, payment_id: str) -> State:
        if payment_id in self.processed:
            return "processed"
        if payment_id in self.rejected:
            return "rejected"
        if payment_id in self._open:
            return "in doubt" if self._is_in_doubt(payment_id) else "routed"
        return "pending"

    def unended(self) -> list[str]:
        return [payment_id for payment_id in self.requested if not self.ended(payment_id)]

    def _may_open(self, payment_id: str, attempt: int) -> bool:
        is_free = payment_id not in self._open and not self.ended(payment_id)
        return is_free and attempt == self._released.get(payment_id, 0) + 1

    def _is_in_doubt(self, payment_id: str) -> bool:
        return self._open.get(payment_id, (0, False))[1]


def judge(history: History, *, converged: bool = True) -> Verdict:
    """Judges every column. Without `converged` (the run was stopped early), a payment need not have ended."""
    verdict = Verdict()
    ledger = Ledger.of(history)
    charges = _charges(history.provider_records)
    wishes: dict[str, list[Request]] = defaultdict(list)
    for request in history.requests:
        wishes[request.payment_id].append(request)
    for payment_id, wished in wishes.items():
        _judge_payment(verdict, payment_id, wished, charges.get(payment_id, []), ledger, ended=converged)
    _judge_strangers(verdict, wishes.keys(), charges, ledger)
    _judge_records(verdict, charges, ledger, ended=converged)
    _judge_rejections(verdict, history, charges, ledger)
    for asked in history.asked:
        if asked.summary is not None and asked.settled and _is_final(asked.window, asked.asked_at_us):
            truth = summed(history.provider_records, asked.window)
            if asked.summary != truth:
                verdict.blame(
                    "settled, changed",
                    _latecomer(asked, history),
                    f"{asked.window.query}, asked at {clock_text(asked.asked_at_us)}: answer {asked.summary}, "
                    f"provider records {truth}",
                )
    for payment_id in history.forgotten:
        verdict.blame("forgotten", payment_id, "GET /payments/{id} answered 404 after 202")
    if converged:
        _judge_summary(verdict, history, ledger)
        _judge_rows(verdict, history.rows, history.rejected_rows, ledger)
        if history.standby is not None:
            _judge_rows(verdict, *history.standby, ledger)
    return verdict


def _latecomer(asked: Asked, history: History) -> str:
    """A payment of the window whose charge was recorded after the query, if at all."""
    recorded = {
        logged.event.correlation_id: logged.stored_at_us
        for logged in history.log
        if isinstance(logged.event, PaymentProcessed)
    }
    for entries in history.provider_records.values():
        for entry in entries:
            inside = asked.window.start <= entry.requested_at <= asked.window.end
            if inside and recorded.get(entry.payment_id, asked.asked_at_us + 1) > asked.asked_at_us:
                return entry.payment_id
    return ""


def summed(provider_records: Mapping[str, Iterable[Entry]], window: Window | None = None) -> Summary:
    """The totals of the provider records, in a window or as a whole."""
    totals = []
    for provider in PROVIDERS:
        inside = [
            entry.cents
            for entry in provider_records.get(provider, ())
            if window is None or window.start <= entry.requested_at <= window.end
        ]
        totals.append(Totals(len(inside), sum(inside)))
    return Summary(*totals)


def _charges(provider_records: Mapping[str, Iterable[Entry]]) -> dict[str, list[tuple[str, Entry]]]:
    """Each payment's records, with their provider."""
    charges: dict[str, list[tuple[str, Entry]]] = defaultdict(list)
    for provider, entries in provider_records.items():
        for entry in entries:
            charges[entry.payment_id].append((provider, entry))
    return charges


def _judge_payment(
    verdict: Verdict,
    payment_id: str,
    wishes: list[Request],
    charges: list[tuple[str, Entry]],
    ledger: Ledger,
    *,
    ended: bool,
) -> None:
    """Compares the answers to the clients about one payment with what was done."""
    accepted = {wish.cents for wish in wishes if wish.outcome == "ok"}
    refused = {wish.cents for wish in wishes if wish.outcome == "refused"}
    unknown = {wish.cents for wish in wishes if wish.outcome == "unknown"}
    if len(charges) > 1:
        where = ", ".join(f"{provider} {entry.requested_at.isoformat()}" for provider, entry in charges)
        verdict.blame("charged twice", payment_id, f"charged {len(charges)} times: {where}")
    if len(accepted) > 1:
        verdict.blame("conflict accepted", payment_id, f"202 for {sorted(accepted)} cents")
    if contradicted := accepted & refused:
        verdict.blame("refused", payment_id, f"{sorted(contradicted)} cents were accepted, and refused as well")
    if refused and not accepted and not unknown:
        what = "and charged all the same" if charges else "though nothing spoke against it"
        verdict.blame("refused", payment_id, f"refused {what}")
    allowed = accepted or (unknown - refused)
    amounts = {entry.cents for _, entry in charges} | {
        event.amount_cents
        for event in (
            ledger.requested.get(payment_id),
            ledger.processed.get(payment_id),
            ledger.rejected.get(payment_id),
        )
        if event is not None
    }
    if not amounts <= allowed and (accepted or unknown):
        verdict.blame("wrong amount", payment_id, f"{sorted(amounts)} cents, where {sorted(allowed)} was accepted")
    if not accepted:
        return
    if payment_id not in ledger.requested:
        verdict.blame("lost", payment_id, "accepted, and not in the log")
    elif ended and not charges and payment_id in ledger.processed:
        verdict.blame("lost", payment_id, "accepted and processed in the log, but in no provider's records")


def _judge_strangers(verdict: Verdict, known: Iterable[str], charges: Mapping[str, object], ledger: Ledger) -> None:
    for payment_id in (charges.keys() | ledger.requested.keys()) - set(known):
        verdict.blame("invented", payment_id, "no client sent it")


def _judge_records(
    verdict: Verdict, charges: Mapping[str, list[tuple[str, Entry]]], ledger: Ledger, *, ended: bool
) -> None:
    """Compares the log's outcomes with the provider records."""
    for payment_id, event in ledger.processed.items():
        places = {provider for provider, _ in charges.get(payment_id, [])}
        if not places:
            verdict.blame("unrecorded", payment_id, f"processed at {event.provider}, but in no provider's records")
        elif event.provider not in places:
            verdict.blame("wrong processor", payment_id, f"{event.provider} in the log, recorded at {places}")
        else:
            stamps = {us_of(entry.requested_at) for place, entry in charges[payment_id] if place == event.provider}
            if event.requested_at_us not in stamps:
                verdict.blame(
                    "requestedAt", payment_id, f"{event.requested_at_us} in the log, {stamps} at the provider"
                )
    if not ended:
        return
    for payment_id in charges.keys() - ledger.processed.keys() - ledger.rejected.keys():
        verdict.blame("unrecorded", payment_id, f"charged, and {ledger.state(payment_id)} in the log")
    for payment_id in ledger.unended():
        verdict.blame("not ended", payment_id, ledger.state(payment_id))


def _judge_rejections(
    verdict: Verdict, history: History, charges: Mapping[str, list[tuple[str, Entry]]], ledger: Ledger
) -> None:
    """Checks rejections: only a provider's own answer rejects a payment, and it keeps a list of those."""
    refused = {payment_id for ids in history.refusals.values() for payment_id in ids}
    for payment_id, rejection in ledger.rejected.items():
        charged = charges.get(payment_id, [])
        if charged:
            verdict.blame("rejected, charged", payment_id, rejection.reason)
        if payment_id not in refused and all(entry.cents == rejection.amount_cents for _, entry in charged):
            verdict.blame("rejected, unfounded", payment_id, f"no provider rejected it: {rejection.reason}")


def _judge_summary(verdict: Verdict, history: History, ledger: Ledger) -> None:
    truth = summed(history.provider_records)
    if history.final != truth:
        verdict.blame("summary", "", f"summary {history.final}, provider records {truth}")
    if history.is_unsettled and not ledger.unended():
        verdict.blame("summary", "", "not settled, although every payment has ended")


def _judge_rows(verdict: Verdict, rows: Sequence[Settled] | None, rejected_rows: Sequence[str], ledger: Ledger) -> None:
    if rows is None:
        verdict.blame("read model", "", "it could not be read")
        return
    wanted: Counter[tuple[str, str, int, int]] = Counter(
        (payment_id, event.provider, event.amount_cents, event.requested_at_us)
        for payment_id, event in ledger.processed.items()
    )
    found = Counter((row.payment_id, row.provider, row.cents, row.requested_at_us) for row in rows)
    for row, times in (found - wanted).items():
        verdict.blame("read model", row[0], f"{times} rows too many: {row}")
    for row, times in (wanted - found).items():
        verdict.blame("read model", row[0], f"{times} rows missing: {row}")
    for payment_id in set(rejected_rows) ^ set(ledger.rejected):
        verdict.blame("read model", payment_id, "rejected in one of log and read model only")


def _is_final(window: Window, asked_at_us: int) -> bool:
    return us_of(window.end) < asked_at_us - SETTLED_AFTER_US
