"""The programs that have answered, and whether they still do. Pure.

Bound: PROGRAMS_MAX names; at the bound the one that answered longest ago is dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tollgate.console.observation import Observation
from tollgate.contract.rebuild_progress import PROGRAM as REBUILD
from tollgate.contract.timestamps import MICROSECONDS

PROGRAMS_MAX = 64
_MEMORY = "process_resident_memory_bytes"
_STARTED = "process_start_time_seconds"
FORGOTTEN_SECONDS = 600.0
"""A program that has not answered for so long is no longer listed: a replica may have been taken away."""


@dataclass(frozen=True, slots=True)
class ProgramState:
    """`is_up` is whether it answered the last question; `detail` is its obstacle, or how long it has been silent.

    `memory_bytes` and `up_seconds`, since it started, are None where it reports no statistics.
    """

    name: str
    is_up: bool
    detail: str
    memory_bytes: float | None = None
    up_seconds: float | None = None


class KnownPrograms:
    """Remembers when each program answered last."""

    def __init__(self) -> None:
        self._answered_us: dict[str, int] = {}

    def states(self, observation: Observation) -> list[ProgramState]:
        """Broker, projector, processors and gateways, as of this observation."""
        answers = _answers(observation)
        samples = {one.name: one.samples for one in observation.programs}
        self._answered_us |= dict.fromkeys(answers, observation.at_us)
        self._drop_old(observation.at_us)
        now_us = observation.at_us
        return [
            self._state(name, answers, now_us, samples.get(name, {})) for name in sorted(self._answered_us, key=_order)
        ]

    def _state(self, name: str, answers: dict[str, str], now_us: int, samples: Mapping[str, float]) -> ProgramState:
        if name in answers:
            started = samples.get(_STARTED)
            # The clocks of the program and the broker may differ.
            up_seconds = None if started is None else max(now_us / MICROSECONDS - started, 0.0)
            return ProgramState(name, True, answers[name], samples.get(_MEMORY), up_seconds)
        seconds = (now_us - self._answered_us[name]) / MICROSECONDS
        return ProgramState(name, False, f"no answer for {seconds:.0f} s")

    def _drop_old(self, now_us: int) -> None:
        newest_first = sorted(self._answered_us.items(), key=lambda one: -one[1])
        kept = newest_first[:PROGRAMS_MAX]
        self._answered_us = {name: at for name, at in kept if now_us - at <= FORGOTTEN_SECONDS * MICROSECONDS}


def _answers(observation: Observation) -> dict[str, str]:
    """What each program that answered reports of itself; empty if it is well."""
    answers: dict[str, str] = {one.name: "" for one in observation.programs if one.program != REBUILD}
    if observation.log_end is not None:
        answers["broker"] = ""
    if observation.status is not None:
        answers["projector"] = observation.status.log_fault or ""
    if observation.facts is not None:
        # A processor has answered both questions, under one name.
        answers |= {f"processor {replica.name}": replica.obstacle for replica in observation.facts.replicas}
    return answers


def _order(name: str) -> tuple[int, str]:
    kinds = ("broker", "gateway", "processor", "projector")
    return next((index for index, kind in enumerate(kinds) if name.startswith(kind)), len(kinds)), name
