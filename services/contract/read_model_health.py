"""Whether the read model is well: its lag, the log that it was built from, and what waits in it. Pure."""

from dataclasses import dataclass

from tollgate.contract.payment_state import CLOCK_OFFSET_SECONDS_MAX
from tollgate.contract.read_model_api import Status
from tollgate.contract.timestamps import MICROSECONDS
from tollgate.contract.waiting import DOUBT_SECONDS_MAX, OLDEST_SECONDS_MAX, ChargingFacts


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the read model is behind the log. `seconds` is the age of the oldest event that it lacks."""

    messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a good status."""

    lag_seconds_max: float = 5.0
    oldest_seconds_max: float = OLDEST_SECONDS_MAX
    doubt_seconds_max: float = DOUBT_SECONDS_MAX


@dataclass(frozen=True, slots=True)
class Report:
    """The projector's status compared with the log, and the state of charging."""

    status: Status
    log_end: int
    is_of_this_log: bool
    lag: Lag
    asked_at_us: int
    charging: ChargingFacts

    def troubles(self, bounds: Bounds) -> list[str]:
        """What is wrong; empty when nothing is."""
        found = [
            self._lag_trouble(bounds.lag_seconds_max),
            self._trouble_of_log(),
            self.status.log_fault,
            self.charging.trouble(bounds.oldest_seconds_max),
        ]
        doubt_us, clock = self.status.oldest_doubt_us, self.status.clock
        if doubt_us is not None and self.seconds_since(doubt_us) > bounds.doubt_seconds_max:
            found.append(
                f"{self.status.in_doubt} payments are in doubt, the oldest for {self.seconds_since(doubt_us):.0f} s:"
                " see `processor status`"
            )
        if clock is not None and clock.exceeds(CLOCK_OFFSET_SECONDS_MAX):
            found.append(f"the projector's clock is {clock}")
        return [trouble for trouble in found if trouble is not None]

    def seconds_since(self, moment_us: int) -> float:
        """By the broker's clock, and not below zero."""
        return round(max(self.asked_at_us - moment_us, 0) / MICROSECONDS, 3)

    def _trouble_of_log(self) -> str | None:
        if self.is_of_this_log and self.status.position > self.log_end:
            return f"the log went back from {self.status.position} to {self.log_end}"
        return None

    def _lag_trouble(self, lag_seconds_max: float) -> str | None:
        if not self.is_of_this_log:
            return "the read model is of another log than the broker's"
        if self.lag.seconds <= lag_seconds_max:
            return None
        trouble = f"{self.lag.messages} messages behind, by more than {lag_seconds_max:g} s"
        if self.status.still_seconds > lag_seconds_max:
            trouble += f"; its position has not changed for {self.status.still_seconds:.0f} s"
        return trouble
