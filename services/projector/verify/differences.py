"""What `projector verify` finds wrong: every difference is counted, a bounded number is named."""

from collections import Counter
from dataclasses import dataclass, field

from tollgate.contract.events import ProviderName


@dataclass(frozen=True, slots=True)
class Difference:
    """`correlation_id` is None where no payment can be named, `processor` where it is not of one."""

    what: str
    correlation_id: str | None
    provider: ProviderName | None
    detail: str

    def __str__(self) -> str:
        where = f" ({self.provider})" if self.provider else ""
        who = f" {self.correlation_id}" if self.correlation_id else ""
        return f"{self.what}{where}:{who}{', ' if who and self.detail else ' ' if self.detail else ''}{self.detail}"


@dataclass(slots=True)
class Differences:
    """At most `named_max` are kept in full; the same one is counted once as long as it is kept."""

    named_max: int
    named: list[Difference] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _known: set[tuple[str, str | None, ProviderName | None, str]] = field(default_factory=set)

    @property
    def count(self) -> int:
        return self.counts.total()

    def add(self, difference: Difference) -> None:
        """Takes one more."""
        detail = "" if difference.correlation_id else difference.detail
        key = (difference.what, difference.correlation_id, difference.provider, detail)
        if key in self._known:
            return
        self.counts[difference.what] += 1
        if len(self.named) < self.named_max:
            self._known.add(key)
            self.named.append(difference)

    def add_unnamed(self, what: str, count: int) -> None:
        """Counts more of a kind than can be named."""
        self.counts[what] += count
