"""CPU and wake-ups of processes, from /proc. Linux only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_VOLUNTARY = "voluntary_ctxt_switches:"


@dataclass(frozen=True, slots=True)
class Used:
    """What processes used. A wake-up is a voluntary context switch: a thread waited, and then ran again."""

    cpu_seconds: float = 0.0
    wake_ups: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(self.cpu_seconds + other.cpu_seconds, self.wake_ups + other.wake_ups)

    def __sub__(self, other: Used) -> Used:
        return Used(self.cpu_seconds - other.cpu_seconds, self.wake_ups - other.wake_ups)


def used_by(processes: Iterable[psutil.Process], proc: Path = Path("/proc")) -> Used:
    """What the processes used since they started; the wake-ups of threads that ended are missing."""
    total = Used()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            cpu = process.cpu_times()
            total += Used(cpu.user + cpu.system, wake_ups(process.pid, proc))
    return total


def used_by_each(programs: Mapping[str, Sequence[psutil.Process]]) -> dict[str, Used]:
    return {name: used_by(processes) for name, processes in programs.items()}


def differences(before: Mapping[str, Used], after: Mapping[str, Used]) -> dict[str, Used]:
    """What each program used between two readings; one that was started meanwhile counts from its start."""
    return {name: used - before.get(name, Used()) for name, used in sorted(after.items())}


def wake_ups(pid: int, proc: Path = Path("/proc")) -> int:
    """The voluntary context switches of the present threads of a process."""
    total = 0
    for path in (proc / str(pid) / "task").glob("*/status"):
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                if line.startswith(_VOLUNTARY):
                    total += int(line.split()[1])
    return total
