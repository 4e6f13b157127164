"""The differences that `projector verify` finds: all are counted, a bounded number is listed."""

from collections import Counter
from dataclasses import dataclass, field

from tollgate.contract.events import ProviderName


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference. `correlation_id` is None where it is not of one payment, `provider` where not of one provider."""

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
    """Counts by kind. At most `named_max` are kept in full; an equal one that is kept is not counted again."""

    named_max: int
    named: list[Difference] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _known: set[tuple[str, str | None, ProviderName | None, str]] = field(default_factory=set)

    @property
    def count(self) -> int:
        return self.counts.total()

    def add(self, difference: Difference) -> None:
        """Adds one difference."""
        detail = "" if difference.correlation_id else difference.detail
        key = (difference.what, difference.correlation_id, difference.provider, detail)
        if key in self._known:
            return
        self.counts[difference.what] += 1
        if len(self.named) < self.named_max:
            self._known.add(key)
            self.named.append(difference)

    def add_unnamed(self, what: str, count: int) -> None:
        """Adds a count of a kind without listing them."""
        self.counts[what] += count
