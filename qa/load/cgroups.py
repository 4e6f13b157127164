"""Resources used by a container, read from its control group (version 2 or 1). Linux only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


class NoGroupError(Exception):
    """There is no such process, or its control group cannot be read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a control group; all values but the memory in use are cumulative."""

    cpu_us: int
    periods: int
    """Periods (100 ms by default) in which it was runnable."""
    periods_throttled: int
    throttled_us: int
    memory_peak_bytes: int
    """With the page cache, which the kernel reclaims before it kills anything."""
    memory_own_bytes: int
    """Without the page cache."""
    oom_kills: int


@dataclass(slots=True)
class Usage:
    """One container over a run, over all its control groups; the fields are those of Reading."""

    cpu_us: int = 0
    periods: int = 0
    periods_throttled: int = 0
    throttled_us: int = 0
    memory_peak_bytes: int = 0
    memory_own_bytes_max: int = 0
    oom_kills: int = 0

    @property
    def throttled_share(self) -> float:
        """The share of its runnable periods in which it was throttled."""
        return self.periods_throttled / self.periods if self.periods else 0.0


_COUNTERS = ("cpu_us", "periods", "periods_throttled", "throttled_us", "oom_kills")


@dataclass(slots=True)
class Meter:
    """Sums readings. Use before a container's first reading does not count; a restart counts from 0."""

    usage: dict[str, Usage] = field(default_factory=dict)
    _last: dict[str, Reading] = field(default_factory=dict)

    def add(self, readings: Mapping[str, Reading]) -> None:
        for name, reading in readings.items():
            usage = self.usage.setdefault(name, Usage())
            last = self._last.get(name, reading)
            is_new = reading.cpu_us < last.cpu_us
            for counter in _COUNTERS:
                before = 0 if is_new else getattr(last, counter)
                setattr(usage, counter, getattr(usage, counter) + getattr(reading, counter) - before)
            usage.memory_peak_bytes = max(usage.memory_peak_bytes, reading.memory_peak_bytes)
            usage.memory_own_bytes_max = max(usage.memory_own_bytes_max, reading.memory_own_bytes)
            self._last[name] = reading


def read(pid: int, *, root: Path = _ROOT, proc: Path = _PROC) -> Reading:
    """The control group of a process of the host. Raises NoGroupError."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
        groups = {names: path.lstrip("/") for _, names, path in (line.split(":", 2) for line in lines)}
        controllers = {name: path for names, path in groups.items() for name in names.split(",")}
        if "memory" in controllers:
            return _read_v1(lambda controller: root / controller / controllers[controller])
        return _read_v2(root / groups[""])
    except (OSError, KeyError, ValueError) as error:
        raise NoGroupError(f"process {pid}: {error}") from error


def _read_v2(group: Path) -> Reading:
    cpu = _table(group / "cpu.stat")
    return Reading(
        cpu_us=cpu["usage_usec"],
        periods=cpu.get("nr_periods", 0),
        periods_throttled=cpu.get("nr_throttled", 0),
        throttled_us=cpu.get("throttled_usec", 0),
        memory_peak_bytes=_number(group / "memory.peak"),
        memory_own_bytes=_table(group / "memory.stat")["anon"],
        oom_kills=_table(group / "memory.events")["oom_kill"],
    )


def _read_v1(group: Callable[[str], Path]) -> Reading:
    cpu = _table(group("cpu") / "cpu.stat")
    memory = group("memory")
    return Reading(
        cpu_us=_number(group("cpuacct") / "cpuacct.usage") // 1000,
        periods=cpu["nr_periods"],
        periods_throttled=cpu["nr_throttled"],
        throttled_us=cpu["throttled_time"] // 1000,
        memory_peak_bytes=_number(memory / "memory.max_usage_in_bytes"),
        memory_own_bytes=_table(memory / "memory.stat")["rss"],
        oom_kills=_table(memory / "memory.oom_control").get("oom_kill", 0),
    )


def _table(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def _number(path: Path) -> int:
    return int(path.read_text())
