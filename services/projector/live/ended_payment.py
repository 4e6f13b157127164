"""A payment that has ended, as the read model finds it by its id, and as the index of ids holds it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from tollgate.contract.events import ProviderName
from tollgate.contract.known_ids import EndedHow

REJECTED = "r"
_PROVIDERS: dict[str, ProviderName] = {"d": "default", "f": "fallback"}
_CODES = {provider: code for code, provider in _PROVIDERS.items()}


@dataclass(frozen=True, slots=True)
class EndedPayment:
    """`provider` is set if it was processed; `sequences` are those of its events that are kept, in the log's order."""

    how: EndedHow
    amount_cents: int
    provider: ProviderName | None
    sequences: Sequence[int]

    def encode(self) -> str:
        """One word for each field: how it ended, the amount, the first sequence, the distances of the others from it.

        The file `sql/ended_payments.sql` writes the same.
        """
        code = REJECTED if self.provider is None else _CODES[self.provider]
        first, *others = self.sequences
        return " ".join([code, str(self.amount_cents), str(first), *(str(one - first) for one in others)])

    @classmethod
    def decode(cls, text: str) -> "EndedPayment":
        """The inverse of `encode`."""
        code, *numbers = text.split(" ")
        amount_cents, first, *distances = map(int, numbers)
        provider = None if code == REJECTED else _PROVIDERS[code]
        how: EndedHow = "rejected" if provider is None else "processed"
        return cls(how, amount_cents, provider, [first, *(first + one for one in distances)])
