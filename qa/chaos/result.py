"""The results of a run, and of a suite of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from qa.chaos.coverage import SOMETIMES


@dataclass(slots=True)
class Result:
    """The result of one run, serialisable as JSON."""

    seed: int
    seconds: float
    columns: dict[str, int] = field(default_factory=dict)
    offences: list[str] = field(default_factory=list)
    """A line for each offence, and the complete history of the first payments."""
    reached: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    faults_by_kind: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    payments: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    events: int = 0
    charged: int = 0
    healed_after_seconds: float = 0.0
    """Time from the last fault and the last client's end until all had ended and agreed."""
    gaps_seconds: list[float] = field(default_factory=list)
    """For each fault of the log's leader, the longest time without an acceptance."""
    stopped_early: bool = False
    """Whether a broken promise ended the run early."""
    trouble: str = ""
    """Why the run could not be judged."""
    kept: str = ""
    """The folder of its data and program logs."""

    @property
    def clean(self) -> bool:
        return not self.trouble and not any(self.columns.values())

    @property
    def broken(self) -> list[str]:
        """The columns that are not zero."""
        return [name for name, count in self.columns.items() if count]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Suite:
    """The results of all runs of a command."""

    results: Sequence[Result]
    sometimes: Mapping[str, str] = field(default_factory=lambda: SOMETIMES)
    """What must be reached by at least one run."""

    @property
    def clean(self) -> bool:
        return all(result.clean for result in self.results)

    def columns(self) -> Counter[str]:
        return _added(result.columns for result in self.results)

    def reached(self) -> Counter[str]:
        return _added(result.reached for result in self.results)

    def never_reached(self) -> list[str]:
        """What no run of the suite reached, so that it is not tested."""
        reached = self.reached()
        return [name for name in self.sometimes if not reached[name]]


def _added(counts: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
