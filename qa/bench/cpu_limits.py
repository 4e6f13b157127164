"""CPU limits for running programs, as containers have them: control groups, version 2 or 1. Linux, root."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
REMOVE_SECONDS_MAX = 5.0


class NotAllowedError(Exception):
    """Control groups cannot be made here; the text is the reason."""


@contextlib.contextmanager
def cpu_limits(limits: Mapping[str, float], pids: Mapping[str, Iterable[int]], name: str) -> Iterator[dict[str, Path]]:
    """Limits each program to so many cores, until the end. Yields the group of each. Raises NotAllowedError."""
    groups: dict[str, Path] = {}
    try:
        for program, cores in limits.items():
            groups[program] = _group(f"{name}-{program}", cores)
            for pid in pids[program]:
                (groups[program] / "cgroup.procs").write_text(str(pid))
        yield groups
    except OSError as error:
        raise NotAllowedError(f"no control group with a CPU limit: {error}") from error
    finally:
        for group in groups.values():
            _remove(group)


def throttled_share(group: Path) -> float:
    """The share of the 100 ms periods with work in which the limit stopped the program."""
    stat = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    periods = int(stat["nr_periods"])
    return int(stat["nr_throttled"]) / periods if periods else 0.0


def _group(name: str, cores: float) -> Path:
    quota_us = round(cores * PERIOD_US)
    if (ROOT / "cgroup.controllers").exists():
        group = ROOT / name
        group.mkdir()
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        return group
    group = ROOT / "cpu" / name
    group.mkdir()
    (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (group / "cpu.cfs_quota_us").write_text(str(quota_us))
    return group


def _remove(group: Path) -> None:
    """Its processes go back to the group above; a group that has none is removed."""
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            (group.parent / "cgroup.procs").write_text(pid)
    deadline = time.monotonic() + REMOVE_SECONDS_MAX
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
