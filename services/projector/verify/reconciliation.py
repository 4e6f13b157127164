"""Finds where a provider's records differ from the log, from its totals of a window and lookups of single payments.

The windows whose totals differ are halved until they are small; then each of their payments is looked up.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from tollgate.contract.events import PROVIDERS, PaymentRouted, ProviderName
from tollgate.contract.money import format_cents
from tollgate.contract.read_model_api import Total
from tollgate.contract.timestamps import format_us
from tollgate.projector.verify.differences import Difference, Differences
from tollgate.projector.verify.log_tables import Candidate, LedgerTables, Window
from tollgate.projector.verify.provider_records import ProviderRecords, Record

SLICE_PAYMENTS_MAX = 20
"""A window with at most this many charges is examined payment by payment."""
SLICE_US_MIN = 1_000
"""The narrowest window."""
CANDIDATES_MAX = 1_000
NARROWING_QUESTIONS_MAX = 2_000
LOOKUPS_MAX = 20_000
"""Limit of requests for totals, and of lookups; at the limit, windows that still differ are reported as they are."""
PAGE_PAYMENTS = 1_000

# The JSON form lists these kinds, so their text stays as it is.
MISSING_AT_PROVIDER = "missing at the processor"
OTHER_AMOUNT = "other amount at the processor"
OTHER_STAMP = "other requestedAt at the processor"
CHARGED_TWICE = "charged twice"
CHARGED_THOUGH_REJECTED = "charged though rejected"
CHARGED_THOUGH_RELEASED = "charged though released"
TOTALS_DIFFER = "charges that no payment of the log explains"
_UNEXPECTED = {
    "open": CHARGED_THOUGH_RELEASED,
    "rejected": CHARGED_THOUGH_REJECTED,
    "settled elsewhere": CHARGED_TWICE,
}
"""What a charge means by the state of its payment."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """What differs in a provider's totals of a window beyond the differences found payment by payment."""

    provider: ProviderName
    window: Window
    rest: Total
    looked_at: frozenset[str] = frozenset()


class Reconciliation:
    """Compares both providers' records with the log, and adds the differences."""

    def __init__(self, provider_records: ProviderRecords, tables: LedgerTables, differences: Differences) -> None:
        self._provider_records = provider_records
        self._tables = tables
        self._differences = differences
        self._records: dict[tuple[ProviderName, str], Record] = {}
        """Records that differ from the log in provider, amount or stamp."""
        self._rests: list[_Rest] = []
        self._narrowing_questions = 0
        self._lookups = 0
        self.charged_since: list[str] = []
        """Open payments that were found charged: their outcome is about to be recorded in the log."""

    async def compare(self, window: Window, *, every_payment: bool) -> dict[ProviderName, Total]:
        """Both providers' totals of the window. Raises ProviderRecordsUnreadableError."""
        await self._look_up_open(window)
        if every_payment:
            await self._look_up_every(window)
        totals = {name: await self._narrow(name, window) for name in PROVIDERS}
        for one in self._rests:
            self._report_rest(one)
        return totals

    async def _look_up_open(self, window: Window) -> None:
        """Looks up the open attempts: one without an outcome in the log may have been charged."""
        attempts = [
            payment.attempt.attempt
            for payment in self._tables.ledger.unfinished.values()
            if payment.attempt is not None
        ]
        inside = [one for one in attempts if one.requested_at_us in window]
        for page in _pages(inside):
            records = await asyncio.gather(
                *(self._provider_records.record(one.provider, one.correlation_id) for one in page)
            )
            for attempt, record in zip(page, records, strict=True):
                if record is not None:
                    self._charged_since(attempt.correlation_id, attempt.provider, record)

    async def _look_up_every(self, window: Window) -> None:
        after = -1
        while page := self._tables.settled_page(window, after, PAGE_PAYMENTS):
            after = page[-1][0]
            await asyncio.gather(
                *(
                    self._check(name, Candidate(one, "settled", (cents, stamp)) if name == where else _elsewhere(one))
                    for _, one, where, cents, stamp in page
                    for name in PROVIDERS
                )
            )
        after = -1
        while rejected := self._tables.rejected_page(after, PAGE_PAYMENTS):
            after = rejected[-1][0]
            await asyncio.gather(
                *(self._check(name, Candidate(one, "rejected", None)) for _, one in rejected for name in PROVIDERS)
            )

    async def _narrow(self, provider: ProviderName, window: Window) -> Total:
        """The provider's total of the window; where it differs, its halves are examined."""
        self._narrowing_questions += 1
        found = await self._provider_records.total(provider, window.from_us, window.to_us)
        expected = self._tables.total(provider, window)
        if found == expected:
            return found
        is_small = max(found.count, expected.count) <= SLICE_PAYMENTS_MAX and found.count > 0
        is_last = window.to_us - window.from_us < SLICE_US_MIN or self._narrowing_questions >= NARROWING_QUESTIONS_MAX
        if is_last or found.count == 0 or (is_small and found.count <= expected.count):
            await self._resolve(provider, window, found, expected)
        else:
            middle = (window.from_us + window.to_us) // 2
            await self._narrow(provider, Window(window.from_us, middle))
            await self._narrow(provider, Window(middle + 1, window.to_us))
        return found

    async def _resolve(self, provider: ProviderName, window: Window, found: Total, expected: Total) -> None:
        """Looks up each payment that may explain the difference; what none explains is the rest."""
        candidates = self._tables.candidates(provider, window, CANDIDATES_MAX + 1)
        self._lookups += len(candidates)
        if len(candidates) > CANDIDATES_MAX or self._lookups > LOOKUPS_MAX:
            rest = Total(found.count - expected.count, found.amount_cents - expected.amount_cents)
            self._rests.append(_Rest(provider, window, rest))
            return
        records = await asyncio.gather(*(self._check(provider, one) for one in candidates))
        inside = [one for one in records if one is not None and one.requested_at_us in window]
        rest = Total(found.count - len(inside), found.amount_cents - sum(one.amount_cents for one in inside))
        looked_at = frozenset(one.correlation_id for one in candidates)
        self._rests.append(_Rest(provider, window, rest, looked_at))

    async def _check(self, provider: ProviderName, candidate: Candidate) -> Record | None:
        """The provider's record of the payment; a difference is added to the findings."""
        record = await self._provider_records.record(provider, candidate.correlation_id)
        if candidate.expected is not None:
            self._check_expected(provider, candidate.correlation_id, candidate.expected, record)
        elif record is not None:
            self._check_unexpected(provider, candidate, record)
        return record

    def _check_expected(
        self, provider: ProviderName, correlation_id: str, expected: tuple[int, int], record: Record | None
    ) -> None:
        cents, stamp_us = expected
        if record is None:
            detail = f"log {format_cents(cents)} requested {format_us(stamp_us)}"
            self._add(MISSING_AT_PROVIDER, correlation_id, provider, detail)
            return
        if record.amount_cents != cents:
            detail = f"log {format_cents(cents)}, provider {format_cents(record.amount_cents)}"
            self._add(OTHER_AMOUNT, correlation_id, provider, detail)
        if record.requested_at_us != stamp_us:
            self._records[provider, correlation_id] = record
            detail = f"log {format_us(stamp_us)}, provider {format_us(record.requested_at_us)}"
            self._add(OTHER_STAMP, correlation_id, provider, detail)

    def _check_unexpected(self, provider: ProviderName, candidate: Candidate, record: Record) -> None:
        if candidate.state == "open" and self._is_under_way(provider, candidate.correlation_id):
            self._charged_since(candidate.correlation_id, provider, record)
            return
        self._records[provider, candidate.correlation_id] = record
        what = _UNEXPECTED[candidate.state]
        detail = f"{format_cents(record.amount_cents)} requested {format_us(record.requested_at_us)}"
        self._add(what, candidate.correlation_id, provider, f"here too: {detail}" if what == CHARGED_TWICE else detail)

    def _is_under_way(self, provider: ProviderName, correlation_id: str) -> bool:
        """Whether the payment's current attempt is at this provider; an earlier one was proven not charged."""
        payment = self._tables.ledger.unfinished.get(correlation_id)
        return payment is not None and payment.attempt is not None and payment.attempt.attempt.provider == provider

    def _charged_since(self, correlation_id: str, provider: ProviderName, record: Record) -> None:
        if correlation_id not in self.charged_since:
            self.charged_since.append(correlation_id)
            self._tables.add_charge_since(correlation_id, provider, record.amount_cents, record.requested_at_us)

    def _report_rest(self, one: _Rest) -> None:
        """Adds a rest as a difference, less the records found by other lookups that are stamped in its window."""
        known = [
            record
            for (where, correlation_id), record in self._records.items()
            if where == one.provider and correlation_id not in one.looked_at and record.requested_at_us in one.window
        ]
        count, cents = one.rest.count - len(known), one.rest.amount_cents - sum(record.amount_cents for record in known)
        if count or cents:
            sums = f"{count:+d} charges, {'-' if cents < 0 else '+'}{format_cents(abs(cents))}"
            when = f"requested from {format_us(one.window.from_us)} to {format_us(one.window.to_us)}"
            self._add(TOTALS_DIFFER, None, one.provider, f"{sums}, {when}")

    def _add(self, what: str, correlation_id: str | None, provider: ProviderName, detail: str) -> None:
        self._differences.add(Difference(what, correlation_id, provider, detail))


def _elsewhere(correlation_id: str) -> Candidate:
    return Candidate(correlation_id, "settled elsewhere", None)


def _pages(items: list[PaymentRouted]) -> Iterable[list[PaymentRouted]]:
    return (items[start : start + PAGE_PAYMENTS] for start in range(0, len(items), PAGE_PAYMENTS))
