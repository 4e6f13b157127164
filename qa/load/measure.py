"""Runs a k6 scenario against the compose files with the Rinha benchmark's limits, and measures each container.

    python -m qa.load.measure preview

The benchmark's limits apply to Tollgate's own containers; the simulated providers have none. Exit status: that of k6,
not 0 when a promise was broken; 2 when the measurement could not begin.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from qa.load.cgroups import Meter, NoGroupError, Reading, Usage, read
from qa.load.compose import CONTEST_FILES, PROJECT, SERVICES, Compose, ComposeError, Ports, docker, why_not
from qa.load.startup import PROJECT_NAME, NotAcceptedError, up_until_accepted

K6_RUN = PROJECT / "qa" / "load" / "k6" / "run"
SAMPLE_SECONDS = 0.5
SCENARIO_SECONDS_MAX = 3_600
MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limit:
    cpus: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Ends:
    """How often a container's program ended during the run, and how often the kernel killed it for its memory."""

    died: int = 0
    oom: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The results of a run; each mapping is by container."""

    scenario: str
    startup_seconds: float
    k6: Mapping[str, Any]
    """The report of k6; empty when there is none."""
    usage: Mapping[str, Usage]
    limits: Mapping[str, Limit]
    """Of Tollgate's own containers."""
    ends: Mapping[str, Ends]
    """Of containers that ended."""


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.argument("scenario", type=click.Choice(["preview", "final", "ramp", "soak", "spike"]))
@click.option("--port", default=19_999, help="Port of the edge; the next two are the providers'.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="A file for the figures as JSON."
)
def main(*, scenario: str, port: int, json_path: Path | None) -> None:
    """Runs SCENARIO with the benchmark's limits. Settings (SCALE, MAX_VUS, …) are environment variables."""
    if (reason := why_not()) is not None:
        raise click.UsageError(reason)
    json_path = json_path or Path("build") / f"measure-{scenario}.json"
    compose = Compose(PROJECT_NAME, Ports(port, port + 1, port + 2), files=CONTEST_FILES)
    try:
        compose.down()
        compose.build()
        with compose:
            status, found = _measure(compose, scenario, json_path.with_name(f"measure-k6-{scenario}.json"))
    except (ComposeError, NotAcceptedError, NoGroupError, subprocess.TimeoutExpired) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    figures = as_json(found)
    click.echo(table(figures))
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(status)


def _measure(compose: Compose, scenario: str, k6_path: Path) -> tuple[int, Found]:
    startup_seconds = up_until_accepted(compose)
    limits = _limits(compose)
    sampler = _Sampler(compose)
    began = datetime.now(UTC)
    sampler.start()
    try:
        status = _run_k6(compose, scenario, k6_path)
    finally:
        sampler.stop()
    ends = _ends(compose, began)
    k6: dict[str, Any] = json.loads(k6_path.read_text()) if k6_path.is_file() else {}
    return status, Found(scenario, startup_seconds, k6, sampler.meter.usage, limits, ends)


def _run_k6(compose: Compose, scenario: str, out: Path) -> int:
    out.unlink(missing_ok=True)
    providers = compose.providers
    environment = os.environ | {
        "BASE_URL": compose.product.url,
        "PROCESSOR_DEFAULT_URL": providers["default"].url,
        "PROCESSOR_FALLBACK_URL": providers["fallback"].url,
        "OUT": str(out.absolute()),
    }
    command = [str(K6_RUN), scenario]
    return subprocess.run(command, env=environment, check=False, timeout=SCENARIO_SECONDS_MAX).returncode  # noqa: S603


class _Sampler(threading.Thread):
    """Reads every container's control group from outside, so that no program runs inside the containers."""

    def __init__(self, compose: Compose) -> None:
        super().__init__(name="sampler", daemon=True)
        self.meter = Meter()
        self._compose = compose
        self._pids = {name: one.pid for name, one in compose.containers().items()}
        self._stopped = threading.Event()
        self._sample()

    def run(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self._sample()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _sample(self) -> None:
        readings: dict[str, Reading] = {}
        gone = False
        for name, pid in self._pids.items():
            try:
                readings[name] = read(pid)
            except NoGroupError:
                gone = True
        self.meter.add(readings)
        if gone:
            # It ended: the engine restarts it as another process.
            self._pids = {name: one.pid for name, one in self._compose.containers().items()}


def _limits(compose: Compose) -> dict[str, Limit]:
    containers = compose.containers()
    found = json.loads(docker("inspect", *(containers[name].id for name in SERVICES)))
    return {
        name: Limit(one["HostConfig"]["NanoCpus"] / 1e9, one["HostConfig"]["Memory"])
        for name, one in zip(SERVICES, found, strict=True)
    }


def _ends(compose: Compose, since: datetime) -> dict[str, Ends]:
    said = docker(
        *("events", "--since", since.isoformat(), "--until", datetime.now(UTC).isoformat()),
        *("--filter", f"label=com.docker.compose.project={compose.project}"),
        *("--filter", "event=oom", "--filter", "event=die", "--format", "{{json .}}"),
    )
    counted: dict[str, Ends] = {}
    for event in map(json.loads, said.splitlines()):
        name = event["Actor"]["Attributes"]["com.docker.compose.service"]
        before = counted.get(name, Ends())
        died, oom = event["Action"] == "die", event["Action"] == "oom"
        counted[name] = Ends(before.died + died, before.oom + oom)
    return counted


def as_json(found: Found) -> dict[str, Any]:
    """All results; units are in the names, `k6` is the report of k6."""
    accepted = found.k6.get("payments", {}).get("accepted", 0)
    return {
        "course": found.scenario,
        "startup_seconds": round(found.startup_seconds, 2),
        "containers": {
            name: {
                "cpu_ms_per_payment": round(one.cpu_us / 1000 / accepted, 3) if accepted else None,
                "throttled_share": round(one.throttled_share, 3),
                "memory_peak_mb": round(one.memory_peak_bytes / MB, 1),
                "memory_own_mb": round(one.memory_own_bytes_max / MB, 1),
                "limit_cpus": found.limits[name].cpus if name in found.limits else None,
                "limit_mb": round(found.limits[name].memory_bytes / MB) if name in found.limits else None,
                **asdict(found.ends.get(name, Ends())),
                **asdict(one),
            }
            for name, one in found.usage.items()
        },
        "k6": dict(found.k6),
    }


_COLUMNS = (
    ("CPU ms/payment", "cpu_ms_per_payment"),
    ("CPU limit", "limit_cpus"),
    ("throttled", "throttled_share"),
    ("peak MB", "memory_peak_mb"),
    ("own MB", "memory_own_mb"),
    ("limit MB", "limit_mb"),
    ("died", "died"),
    ("OOM", "oom"),
)


def table(found: Mapping[str, Any]) -> str:
    """The results as a table: Tollgate's own containers with their sum, then the others."""
    containers: dict[str, dict[str, Any]] = found["containers"]
    ours = [name for name in SERVICES if name in containers]
    others = sorted(set(containers) - set(ours))
    total = {key: _sum(containers[name][key] for name in ours) for _, key in _COLUMNS if key != "throttled_share"}
    rows = [
        ["", *(title for title, _ in _COLUMNS)],
        *([name, *_cells(containers[name])] for name in ours),
        ["together", *_cells(total)],
        *([name, *_cells(containers[name])] for name in others),
    ]
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    score = (found["k6"].get("score") or {}).get("total_cents")
    shown = "unknown" if score is None else f"{score / 100:.2f}"
    return "\n".join(["", *lines, "", f"first payment {found['startup_seconds']} s after `up`, score {shown}"])


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if known else None


def _cells(row: Mapping[str, Any]) -> list[str]:
    return ["" if row.get(key) is None else str(row[key]) for _, key in _COLUMNS]


if __name__ == "__main__":
    main()
