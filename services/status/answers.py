"""One set of answers, and what is wrong according to them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from tollgate.console.observation import Observation
from tollgate.contract.log_mark import LogState
from tollgate.contract.read_model_health import Bounds, Lag, Report
from tollgate.processor.operations.charging_health import assess


@dataclass(frozen=True, slots=True)
class ProgramProcess:
    """A program that `tollgate run` started, as its supervisor reports it."""

    name: str
    state: str
    description: str

    @property
    def fault(self) -> str | None:
        return None if self.state == "RUNNING" else f"{self.name} is {self.state} ({self.description})"


@dataclass(frozen=True, slots=True)
class Answers:
    """The console's observation, and what only an operator asks; None where a question was not answered."""

    observation: Observation
    log: LogState | None = None
    lag: Lag | None = None
    processes: Sequence[ProgramProcess] = ()
    """Empty where no supervisor runs."""

    def faults(self, bounds: Bounds) -> list[str]:
        """What is wrong, the causes first; empty when nothing is."""
        found = [
            *(one.fault for one in self.processes),
            *self.observation.troubles,
            *self._of_read_model(bounds),
            *self._of_charging(bounds),
        ]
        # One fault may have several symptoms with the same text.
        return list(dict.fromkeys(one for one in found if one is not None))

    def _of_read_model(self, bounds: Bounds) -> list[str]:
        status, facts = self.observation.status, self.observation.facts
        if status is None or facts is None or self.log is None or self.lag is None:
            return []
        is_of_this_log = status.log_identity == self.log.identity
        report = Report(status, self.log.last_sequence, is_of_this_log, self.lag, self.observation.at_us, facts)
        # The doubts are assessed with those that the read model lists.
        return report.troubles(Bounds(bounds.lag_seconds_max, bounds.oldest_seconds_max, inf))

    def _of_charging(self, bounds: Bounds) -> list[str | None]:
        charging, facts = self.observation.charging, self.observation.facts
        if facts is None:
            return []
        full = ["the log is full"] if facts.log_is_full else []
        # Without a processor payments wait, though the oldest may have waited for less than the bound.
        silent = [] if facts.replicas else ["no processor answers"]
        obstacles = [f"{one.name}: {one.obstacle}" for one in facts.replicas if one.obstacle]
        if charging is None:
            return [*full, *silent, *obstacles, facts.trouble(bounds.oldest_seconds_max)]
        health = assess(
            charging,
            facts,
            self.observation.at_us,
            oldest_seconds_max=bounds.oldest_seconds_max,
            doubt_seconds_max=bounds.doubt_seconds_max,
        )
        return [*full, *silent, *obstacles, *health.troubles]
