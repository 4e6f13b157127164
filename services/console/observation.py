"""The answers to one set of questions. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tollgate.contract.read_model_api import Charging, Status
from tollgate.contract.statistics import ProgramStatistics
from tollgate.contract.waiting import ChargingFacts


@dataclass(frozen=True, slots=True)
class Observation:
    """None where a question was not answered; `troubles` has the reasons."""

    at_us: int
    """By the broker's clock."""
    troubles: Sequence[str] = ()
    status: Status | None = None
    charging: Charging | None = None
    facts: ChargingFacts | None = None
    log_end: int | None = None
    programs: Sequence[ProgramStatistics] = field(default_factory=tuple)
