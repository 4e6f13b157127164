"""The k6 scripts as files: they import nothing remote, and `run` finds a k6 or explains how to get one."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qa.load.measure import K6_RUN

PROJECT = Path(__file__).parents[4]
K6 = PROJECT / "qa" / "load" / "k6"
RUN = K6 / "run"
SCENARIOS = ("preview", "final", "ramp", "soak", "spike")
TOOLS = ("bash", "basename", "dirname", "env", "id", "mkdir", "timeout")
"""All that `run` needs of a machine, besides k6 or docker."""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without k6 and without docker."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (programs / tool).symlink_to(found)
    return {"PATH": str(programs), "HOME": str(tmp_path), "OUT": str(tmp_path / "out" / "found.json")}


def install(machine: dict[str, str], path: Path) -> Path:
    """Puts a program there that prints its name, its arguments and the setting OUT."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/usr/bin/env bash\necho "{path.name} $* OUT=${{OUT:-}}"\n')
    path.chmod(0o755)
    return path


def run(machine: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(RUN), *arguments], env=machine, capture_output=True, text=True, timeout=20, check=False, cwd=PROJECT
    )


def test_the_measurement_runs_the_same_script() -> None:
    assert K6_RUN == RUN
    assert os.access(K6_RUN, os.X_OK)


def test_nothing_is_imported_from_elsewhere() -> None:
    scripts = sorted(K6.rglob("*.js"))
    assert {path.stem for path in K6.glob("*.js")} == set(SCENARIOS)
    for script in scripts:
        for name in re.findall(r"""(?:from|import|require\()\s*['"]([^'"]+)['"]""", script.read_text()):
            assert name.split("/")[0] == "k6" or (script.parent / name).is_file(), f"{script}: {name}"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_make_runs_each_scenario(scenario: str) -> None:
    """Under the names of earlier versions, too."""
    outside_make = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for arguments in (("scenario", f"SCENARIO={scenario}"), ("course", f"COURSE={scenario}"), (f"load-{scenario}",)):
        shown = subprocess.run(
            ["make", "-n", *arguments],
            cwd=PROJECT,
            env=outside_make,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert shown.stdout.splitlines()[-1] == f"qa/load/k6/run {scenario}"


def test_a_local_k6_runs_the_scenario_and_writes_to_the_given_file(machine: dict[str, str], tmp_path: Path) -> None:
    k6 = install(machine, tmp_path / "bin" / "k6")
    ended = run(machine, "spike", "--tag", "a=b")
    assert ended.returncode == 0
    assert ended.stdout.startswith("k6 run ")
    assert "--tag a=b" in ended.stdout
    assert f"{K6}/spike.js OUT={tmp_path}/out/found.json" in ended.stdout
    assert (tmp_path / "out").is_dir()
    assert run(machine, "--find").stdout.strip() == str(k6)


def test_it_is_found_where_go_puts_it(machine: dict[str, str], tmp_path: Path) -> None:
    install(machine, tmp_path / "go" / "bin" / "k6")
    assert run(machine, "soak").stdout.startswith("k6 run ")


def test_the_k6_that_is_named_is_taken(machine: dict[str, str], tmp_path: Path) -> None:
    install(machine, tmp_path / "bin" / "k6")
    named = install(machine, tmp_path / "elsewhere" / "k6-next")
    assert run(machine | {"K6": str(named)}, "final").stdout.startswith("k6-next run ")


def test_without_k6_a_container_gets_the_settings_and_the_file(machine: dict[str, str], tmp_path: Path) -> None:
    install(machine, tmp_path / "bin" / "docker")
    said = run(machine, "preview").stdout
    assert said.startswith("docker run --rm --network host ")
    assert f"--volume {K6}:/k6:ro --volume {tmp_path}/out:/out grafana/k6 run " in said
    assert "--env OUT=/out/found.json " in said
    settings = set(re.findall(r"__ENV\[|(?:text|origin|number)\('([A-Z_]+)'", (K6 / "lib" / "config.js").read_text()))
    assert {name for name in settings if name} == {*re.findall(r"--env=([A-Z_]+) ", said), "OUT"}


@pytest.mark.parametrize("docker", [None, "exit 1"])
def test_without_either_one_line_explains_how_to_get_k6(
    machine: dict[str, str], tmp_path: Path, docker: str | None
) -> None:
    if docker:
        install(machine, tmp_path / "bin" / "docker").write_text(f"#!/usr/bin/env bash\n{docker}\n")
    ended = run(machine, "preview")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "go install go.k6.io/k6@latest" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert run(machine, "--find").returncode == 1


@pytest.mark.parametrize("arguments", [(), ("nonsense",)])
def test_it_lists_the_scenarios_when_given_none_of_them(machine: dict[str, str], arguments: tuple[str, ...]) -> None:
    ended = run(machine, *arguments)
    assert ended.returncode == 2
    for scenario in SCENARIOS:
        assert scenario in ended.stderr


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_scenario_fails_on_any_inconsistency_lag_or_refusal(scenario: str) -> None:
    found = run(dict(os.environ), "--find").stdout.strip()
    if not found:
        pytest.skip("k6 is not installed: go install go.k6.io/k6@latest")
    inspected = subprocess.run(
        [found, "inspect", str(K6 / f"{scenario}.js")], capture_output=True, text=True, timeout=60, check=True
    )
    thresholds = json.loads(inspected.stdout)["thresholds"]
    for metric in ("inconsistent_payments", "inconsistent_cents", "lag", "lag_cents", "refused"):
        assert thresholds[metric] == ["count==0"]
    assert thresholds["http_req_failed"] == ["rate==0"]
    # Without these the others would hold when nothing was done.
    assert thresholds["accepted"] == ["count>0"]
    assert thresholds["books_closed"] == ["count==1"]
    assert re.fullmatch(r"count==[1-9]\d*", thresholds["windows_checked"][0])
