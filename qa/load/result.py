"""The result of a load run, and which findings are faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from qa.load.audit import Audit, Sent
from qa.load.comparison import Comparison
from qa.load.generator import Tally
from qa.load.kills import RECOVERY_SECONDS_MAX, Kill, Poll, recovered_after_seconds, recovering
from qa.load.processes import Usage


@dataclass(frozen=True, slots=True)
class Offered:
    """The requested load."""

    rate_per_second: float
    seconds: float
    connections: int
    amounts: str
    began_at: str
    """UTC."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The wait after the last payment's outcome until the summary held everything accepted."""

    seconds: float
    complete: bool
    last: Comparison
    """Over the whole run."""

    def remainder(self, accepted: int) -> int:
        """Accepted payments that the summary does not count yet."""
        return max(0, accepted - (self.last.product.total.count if self.last.product else 0))


class Finding(Enum):
    """The finding of a regular check."""

    EQUAL = "equal"
    DIFFERS = "differs"
    UNANSWERED = "unanswered"
    RECOVERING = "recovering"
    """Not equal within ten seconds of a kill, and reported so: no answer, or one marked unsettled."""


@dataclass(frozen=True, slots=True)
class Check:
    at_seconds: float
    """Since the run began."""
    took_seconds: float
    comparison: Comparison

    def finding(self, kills: Sequence[Kill]) -> Finding:
        compared = self.comparison
        if compared.equal:
            return Finding.EQUAL
        healing = recovering(self.at_seconds, self.at_seconds + self.took_seconds, kills)
        if healing and (compared.unsettled or not compared.differs):
            return Finding.RECOVERING
        return Finding.DIFFERS if compared.differs else Finding.UNANSWERED


@dataclass(frozen=True, slots=True)
class Result:
    offered: Offered
    tally: Tally
    sent: Sent
    checks: Sequence[Check]
    kills: Sequence[Kill]
    polls: Sequence[Poll]
    """Of the window before the last kill; empty without kills."""
    drain: Drain
    totals_faults: Sequence[str]
    audit: Audit | None
    audit_skipped: str
    """Why the audit was skipped."""
    usage: Mapping[str, Usage]
    sampled_seconds: float
    generator_cpu_seconds: float
    """CPU time of this generator, from the first send to the last outcome."""

    def count(self, finding: Finding) -> int:
        return sum(check.finding(self.kills) is finding for check in self.checks)

    def faults(self) -> list[str]:
        """Descriptions of all faults, the worst first; empty when every promise was kept."""
        return [*self._audit_faults(), *self._summary_faults(), *self._client_faults(), *self._kill_faults()]

    def _audit_faults(self) -> list[str]:
        if self.audit is None:
            return list(self.totals_faults)
        named = {
            "charged twice": self.audit.twice,
            "accepted and lost": self.audit.lost,
            "never sent and yet charged": self.audit.invented,
            "charged with a wrong amount": self.audit.wrong,
            "refused and yet charged": self.audit.refused,
        }
        return [f"{len(ids)} {what}" for what, ids in named.items() if ids] + list(self.totals_faults)

    def _summary_faults(self) -> list[str]:
        faults = []
        if differing := self.count(Finding.DIFFERS):
            faults.append(f"{differing} checks where the summary differs from the provider records")
        if unanswered := self.count(Finding.UNANSWERED):
            faults.append(f"{unanswered} checks without an answer")
        if not self.drain.complete:
            accepted = len(self.sent.accepted)
            faults.append(
                f"not settled after {self.drain.seconds:.1f} s: {self.drain.remainder(accepted)} of {accepted} accepted"
                f" payments not in the summary{', ' if self.drain.last.trouble else ''}{self.drain.last.trouble}"
            )
        return faults

    def _client_faults(self) -> list[str]:
        faults = []
        if self.sent.refused:
            faults.append(f"{len(self.sent.refused)} payments refused: {self.tally.refusals[0]}")
        if self.tally.skipped:
            faults.append(f"{self.tally.skipped} payments never sent: too many were in flight")
        return faults

    def _kill_faults(self) -> list[str]:
        faults = [f"{kill.program} was not there to be killed" for kill in self.kills if not kill.pids]
        if self.polls:
            recovered = recovered_after_seconds(self.polls)
            if recovered is None:
                faults.append(f"not recovered {self.polls[-1].after_seconds:.1f} s after the last kill")
            elif recovered > RECOVERY_SECONDS_MAX:
                faults.append(f"recovered only {recovered:.1f} s after the last kill")
        return faults
