"""Reading what a container used, in both versions of control groups."""

from dataclasses import replace
from pathlib import Path

import pytest

from qa.load.cgroups import Meter, NoGroupError, Reading, Usage, read

READING = Reading(
    cpu_us=5_000_000,
    periods=100,
    periods_throttled=25,
    throttled_us=750_000,
    memory_peak_bytes=50_000_000,
    memory_own_bytes=30_000_000,
    oom_kills=1,
)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_version_2(tmp_path: Path) -> None:
    write(tmp_path / "proc" / "7", cgroup="0::/system.slice/docker-1.scope\n")
    write(
        tmp_path / "cg" / "system.slice" / "docker-1.scope",
        cpu__stat="usage_usec 5000000\nuser_usec 1\nnr_periods 100\nnr_throttled 25\nthrottled_usec 750000\n",
        memory__peak="50000000\n",
        memory__stat="anon 30000000\nfile 9\n",
        memory__events="low 0\noom 2\noom_kill 1\n",
    )
    assert read(7, root=tmp_path / "cg", proc=tmp_path / "proc") == READING


def test_version_1(tmp_path: Path) -> None:
    write(tmp_path / "proc" / "7", cgroup="9:name=systemd:/\n4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n0::/\n")
    stat = "nr_periods 100\nnr_throttled 25\nthrottled_time 750000000\n"
    write(tmp_path / "cg" / "cpu" / "docker" / "1", cpu__stat=stat)
    write(tmp_path / "cg" / "cpuacct" / "docker" / "1", cpuacct__usage="5000000000\n")
    write(
        tmp_path / "cg" / "memory" / "docker" / "1",
        memory__max_usage_in_bytes="50000000\n",
        memory__stat="cache 9\nrss 30000000\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    )
    assert read(7, root=tmp_path / "cg", proc=tmp_path / "proc") == READING


def test_an_ended_process_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NoGroupError, match="process 7"):
        read(7, root=tmp_path, proc=tmp_path)


def test_only_what_was_used_meanwhile_counts() -> None:
    meter = Meter()
    meter.add({"nats": READING})
    meter.add({"nats": replace(READING, cpu_us=5_000_700, periods=104, periods_throttled=26, memory_own_bytes=1)})
    used = meter.usage["nats"]
    assert (used.cpu_us, used.periods, used.throttled_share, used.oom_kills) == (700, 4, 0.25, 0)
    assert (used.memory_peak_bytes, used.memory_own_bytes_max) == (50_000_000, 30_000_000)


def test_a_container_that_was_started_again_counts_on() -> None:
    meter = Meter()
    meter.add({"nats": READING})
    meter.add({"nats": replace(READING, cpu_us=5_000_100)})
    meter.add({"nats": replace(READING, cpu_us=40, periods=3, periods_throttled=2, throttled_us=1, oom_kills=0)})
    assert meter.usage["nats"] == Usage(140, 3, 2, 1, 50_000_000, 30_000_000, 0)
