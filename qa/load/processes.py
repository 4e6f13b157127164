"""The processes of the product's programs, and the resources they use."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

SAMPLE_SECONDS = 0.5
# Reading a process's PSS walks its page tables while it waits; ten times rarer than the rest is often enough.
SAMPLES_FOR_EACH_PSS = 10
SUPERVISOR = "supervisord"


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a process."""

    program: str
    process: tuple[int, float]
    """Its pid and start time: a pid alone may be reused."""
    cpu_seconds: float
    rss_bytes: int
    pss_bytes: int | None = None


@dataclass(slots=True)
class Usage:
    """One program over the run, over all its processes."""

    cpu_seconds: float = 0.0
    rss_bytes_max: int = 0
    pss_bytes_max: int | None = None
    processes: int = 0


@dataclass(slots=True)
class Meter:
    """Sums readings. CPU used before the first reading does not count; that of a process started later does."""

    sweeps: int = 0
    _first: dict[tuple[int, float], float] = field(default_factory=dict)
    _last: dict[tuple[int, float], float] = field(default_factory=dict)
    _usage: dict[str, Usage] = field(default_factory=dict)

    def add(self, readings: Iterable[Reading]) -> None:
        rss: dict[str, int] = {}
        pss: dict[str, int] = {}
        for reading in readings:
            usage = self._usage.setdefault(reading.program, Usage())
            if reading.process not in self._last:
                usage.processes += 1
                self._last[reading.process] = reading.cpu_seconds if self.sweeps == 0 else 0.0
            usage.cpu_seconds += reading.cpu_seconds - self._last[reading.process]
            self._last[reading.process] = reading.cpu_seconds
            rss[reading.program] = rss.get(reading.program, 0) + reading.rss_bytes
            if reading.pss_bytes is not None:
                pss[reading.program] = pss.get(reading.program, 0) + reading.pss_bytes
        for program, size in rss.items():
            self._usage[program].rss_bytes_max = max(self._usage[program].rss_bytes_max, size)
        for program, size in pss.items():
            self._usage[program].pss_bytes_max = max(self._usage[program].pss_bytes_max or 0, size)
        self.sweeps += 1

    def usage(self) -> dict[str, Usage]:
        return dict(sorted(self._usage.items()))


class Programs(Protocol):
    def find(self) -> Mapping[str, Sequence[psutil.Process]]:
        """The current processes of each program, the one started first in front."""
        ...


class Given:
    """Programs by given pids; an ended process is dropped."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in pids.items()}

    def find(self) -> dict[str, list[psutil.Process]]:
        return {name: _tree(root) for name, root in self._roots.items() if root.is_running()}


class Supervised:
    """The programs of the supervisord whose command line names a file in the data directory.

    supervisord sets SUPERVISOR_PROCESS_NAME for each program; so neither its socket nor its pid file is needed, and a
    restarted program is found at once.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._supervisors: list[psutil.Process] = []
        self._names: dict[psutil.Process, str] = {}

    def find(self) -> dict[str, list[psutil.Process]]:
        self._supervisors = [process for process in self._supervisors if process.is_running()]
        if not self._supervisors:
            self._supervisors = [process for process in psutil.process_iter() if self._supervises(process)]
        found: dict[str, list[psutil.Process]] = {}
        for supervisor in self._supervisors:
            programs = [(name, child) for child in _children(supervisor) if (name := self._name(child))]
            for name, child in programs:
                found.setdefault(name, []).extend(_tree(child))
            if programs:
                found.setdefault(SUPERVISOR, []).append(supervisor)
        return found

    def _supervises(self, process: psutil.Process) -> bool:
        try:
            arguments = process.cmdline()
            if not any(SUPERVISOR in Path(argument).name for argument in arguments):
                return False
            here = Path(process.cwd())
            return any((here / argument).resolve().is_relative_to(self._data_dir) for argument in arguments)
        except (psutil.Error, OSError, ValueError):
            return False

    def _name(self, process: psutil.Process) -> str:
        """The program's name; empty for a child that is not (or between fork and exec not yet) a program."""
        if process not in self._names:
            with contextlib.suppress(psutil.Error, OSError):
                if name := process.environ().get("SUPERVISOR_PROCESS_NAME"):
                    self._names[process] = name
        return self._names.get(process, "")


class Sampler(threading.Thread):
    """Reads the figures of every program each half second, in a thread, so that no request is delayed."""

    def __init__(self, programs: Programs) -> None:
        super().__init__(name="sampler", daemon=True)
        self.meter = Meter()
        self.seconds = 0.0
        self._programs = programs
        self._stopped = threading.Event()

    def run(self) -> None:
        began_at = time.perf_counter()
        while True:
            stopping = self._stopped.wait(SAMPLE_SECONDS if self.meter.sweeps else 0)
            with_pss = stopping or self.meter.sweeps % SAMPLES_FOR_EACH_PSS == 0
            self.meter.add(readings(self._programs.find(), with_pss=with_pss))
            self.seconds = time.perf_counter() - began_at
            if stopping:
                return

    def stop(self) -> None:
        """Takes a last sample."""
        self._stopped.set()
        self.join()


def readings(programs: Mapping[str, Sequence[psutil.Process]], *, with_pss: bool) -> list[Reading]:
    """The figures of all processes that live long enough to be read."""
    found = []
    for program, processes in programs.items():
        for process in processes:
            with contextlib.suppress(psutil.Error, OSError):
                cpu = process.cpu_times()
                found.append(
                    Reading(
                        program,
                        (process.pid, process.create_time()),
                        cpu.user + cpu.system,
                        process.memory_info().rss,
                        _pss_bytes(process.pid) if with_pss else None,
                    )
                )
    return found


def kill(processes: Sequence[psutil.Process]) -> tuple[int, ...]:
    """Sends SIGKILL to a program and its children. Returns the pids that still existed."""
    killed = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
            killed.append(process.pid)
    return tuple(killed)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    return [root, *(process for child in _children(root) for process in _tree(child))]


def _children(parent: psutil.Process) -> list[psutil.Process]:
    try:
        # One small file for each thread, where Linux offers it; psutil reads every process of the machine instead.
        lists = [path.read_text() for path in Path(f"/proc/{parent.pid}/task").glob("*/children")]
        pids = [int(pid) for pid in " ".join(lists).split()] if lists else None
    except OSError:
        pids = None
    found = []
    with contextlib.suppress(psutil.Error):
        if pids is None:
            return parent.children()
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
    return found


def _pss_bytes(pid: int) -> int | None:
    """The proportional set size, where the kernel reports it; it counts a shared page once over all sharers."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def own_cpu_seconds() -> float:
    """What this process itself has used, since an expensive generator would distort the measurement."""
    times = os.times()
    return times.user + times.system
