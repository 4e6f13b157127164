"""A payment that has ended, as the read model finds it by its id."""

from dataclasses import dataclass

from tollgate.contract.events import ProviderName
from tollgate.contract.known_ids import EndedHow


@dataclass(frozen=True, slots=True)
class EndedPayment:
    """`provider` is set if it was processed; `sequences` are those of its events that are kept, in the log's order."""

    how: EndedHow
    amount_cents: int
    provider: ProviderName | None
    sequences: list[int]
