"""The audit: compares, payment by payment, the answers to the client with the provider records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from qa.load.provider_records import Entry, Summary, Totals


@dataclass(slots=True)
class Sent:
    """The cents of each payment by its id, grouped by the client's outcome."""

    accepted: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def least(self) -> Totals:
        """What the provider records must hold."""
        return Totals(len(self.accepted), sum(self.accepted.values()))

    @property
    def most(self) -> Totals:
        """What they may hold: a payment whose answer was lost may have been charged once."""
        return self.least + Totals(len(self.unknown), sum(self.unknown.values()))


@dataclass(frozen=True, slots=True)
class Audit:
    """The ids of faulty payments; all empty when there are none."""

    lost: tuple[str, ...]
    """Accepted, but in no provider's records."""
    twice: tuple[str, ...]
    """In both providers' records, or in one's more than once."""
    invented: tuple[str, ...]
    """Recorded since the run began, never sent."""
    wrong: tuple[str, ...]
    """Charged with another amount."""
    refused: tuple[str, ...]
    """Charged although the client was refused."""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.invented or self.wrong or self.refused)


def audit(sent: Sent, provider_records: Mapping[str, Sequence[Entry]], began_at: datetime) -> Audit:
    """Compares what was sent with all provider records.

    A record of a payment that was never sent counts only when it was requested after the run began: there may be older
    records.
    """
    known = {**sent.accepted, **sent.unknown, **sent.refused}
    charges: Counter[str] = Counter()
    invented: set[str] = set()
    wrong: set[str] = set()
    for entry in (entry for entries in provider_records.values() for entry in entries):
        cents = known.get(entry.payment_id)
        if cents is None:
            if entry.requested_at >= began_at:
                invented.add(entry.payment_id)
            continue
        charges[entry.payment_id] += 1
        if entry.cents != cents:
            wrong.add(entry.payment_id)
    return Audit(
        lost=tuple(sorted(sent.accepted.keys() - charges.keys())),
        twice=tuple(sorted(payment_id for payment_id, times in charges.items() if times > 1)),
        invented=tuple(sorted(invented)),
        wrong=tuple(sorted(wrong)),
        refused=tuple(sorted(sent.refused.keys() & charges.keys())),
    )


def totals_faults(sent: Sent, product: Summary, provider_records: Summary) -> list[str]:
    """Describes faults in the totals of the whole run; needs no list of payments."""
    faults = []
    if product != provider_records:
        faults.append(f"the summary differs from the provider records by {product - provider_records}")
    for name, value, least, most in (
        ("payments", provider_records.total.count, sent.least.count, sent.most.count),
        ("cents", provider_records.total.cents, sent.least.cents, sent.most.cents),
    ):
        if not least <= value <= most:
            wanted = str(least) if least == most else f"between {least} and {most}"
            faults.append(f"the provider records hold {value} {name}, and should hold {wanted}")
    return faults
