import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from qa.load.processes import Given, Meter, Reading, Supervised, kill, readings

MIB = 1024 * 1024


def reading(program: str, pid: int, cpu_seconds: float, rss: int = MIB, pss: int | None = None) -> Reading:
    return Reading(program, (pid, float(pid)), cpu_seconds, rss, pss)


def test_cpu_from_before_the_first_sweep_does_not_count() -> None:
    meter = Meter()
    meter.add([reading("gateway", 1, 100.0)])
    meter.add([reading("gateway", 1, 101.5)])
    assert meter.usage()["gateway"].cpu_seconds == 1.5


def test_a_restarted_program_counts_with_all_its_lives() -> None:
    meter = Meter()
    meter.add([reading("gateway", 1, 100.0)])
    meter.add([reading("gateway", 1, 101.0)])
    meter.add([])
    meter.add([reading("gateway", 2, 0.5)])
    meter.add([reading("gateway", 2, 0.75)])
    usage = meter.usage()["gateway"]
    assert (usage.cpu_seconds, usage.processes) == (1.75, 2)


def test_memory_is_the_most_that_a_programs_processes_held_together() -> None:
    meter = Meter()
    meter.add([reading("gateway", 1, 0, rss=5 * MIB, pss=3 * MIB), reading("gateway", 2, 0, rss=6 * MIB, pss=2 * MIB)])
    meter.add([reading("gateway", 1, 0, rss=7 * MIB)])
    usage = meter.usage()["gateway"]
    assert (usage.rss_bytes_max, usage.pss_bytes_max) == (11 * MIB, 5 * MIB)


def test_pss_that_cannot_be_read_is_unknown_and_not_zero() -> None:
    meter = Meter()
    meter.add([reading("nats", 1, 0)])
    assert meter.usage()["nats"].pss_bytes_max is None


def test_this_process_can_be_read() -> None:
    found = readings(Given({"me": os.getpid()}).find(), with_pss=True)[0]  # the first is the program itself
    assert (found.program, found.process[0]) == ("me", os.getpid())
    assert found.cpu_seconds > 0
    assert found.rss_bytes > MIB


def test_a_killed_program_is_gone_and_cannot_be_killed_again() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as victim:
        programs = Given({"victim": victim.pid})
        root = psutil.Process(victim.pid)
        assert kill(programs.find()["victim"]) == (victim.pid,)
        victim.wait(10)
        assert programs.find() == {}
        assert kill([root]) == ()


SUPERVISOR = """
import os, subprocess, sys, time
named = os.environ | {"SUPERVISOR_PROCESS_NAME": "worker"}
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=named)
print("ready", flush=True)
sys.stdin.read()
worker.kill()
worker.wait()
"""


def test_programs_are_found_through_the_supervisor_of_their_data_directory(tmp_path: Path) -> None:
    data_dir, script = tmp_path / "data", tmp_path / "supervisord"
    script.write_text(SUPERVISOR)
    command = [sys.executable, str(script), "-c", "data/run/supervisord.conf"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        found = _found(Supervised(data_dir))
        assert set(found) == {"worker", "supervisord"}
        assert [process.pid for process in found["supervisord"]] == [supervisor.pid]
        assert found["worker"][0].ppid() == supervisor.pid
        assert Supervised(tmp_path / "another").find() == {}
        supervisor.communicate()
    assert Supervised(data_dir).find() == {}


def _found(programs: Supervised) -> dict[str, list[psutil.Process]]:
    """A program has its name only once it is executing: a moment after it was forked."""
    give_up_at = time.monotonic() + 5
    while not (found := programs.find()) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return found
