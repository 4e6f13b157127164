"""The compose stack under its own project name and ports; removed completely afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qa.load.client import Origin

PROJECT = Path(__file__).parents[2]
BASE = "docker-compose.yml"
SIMULATORS = "docker-compose.override.yml"
CONTEST = "docker-compose.contest.yml"
TLS = "docker-compose.tls.yml"
CLUSTER = "docker-compose.cluster.yml"
TRACES = "docker-compose.traces.yml"
CONTEST_FILES = (BASE, SIMULATORS, CONTEST)
"""With purging: a k6 scenario begins with a purge."""
SERVICES = ("caddy", "gateway-1", "gateway-2", "processor", "projector", "nats")
"""Tollgate's own services, to which the benchmark's limits apply."""
ANSWER_SECONDS_MAX = 20
COMMAND_SECONDS_MAX = 120
PULL_SECONDS_MAX = 120
BUILD_SECONDS_MAX = 600


class ComposeError(Exception):
    """A command of docker or compose failed; the message is its output."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on the loopback interface."""

    edge: int
    default: int
    fallback: int


@dataclass(frozen=True, slots=True)
class Container:
    """The state of a service's container; `pid` is the host's, 0 while it does not run."""

    id: str
    pid: int
    restarts: int
    """Restarts by the engine, after its program ended."""


class Compose:
    """Compose files with simulated providers. Leaving the `with` block removes everything but the images."""

    def __init__(
        self,
        project: str,
        ports: Ports,
        *,
        files: Sequence[str] = (BASE, SIMULATORS),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.project = project
        self.ports = ports
        self._command = [*client(), "--project-name", project]
        for file in files:
            self._command += ["--file", str(PROJECT / file)]
        self._environment = os.environ | {
            # A separate image, so that no existing one is replaced.
            "TOLLGATE_VERSION": project,
            "TOLLGATE_SITE": "",
            "TOLLGATE_PORT": str(ports.edge),
            "TOLLGATE_SIMULATOR_PORT": str(ports.default),
            "TOLLGATE_SIMULATOR_FALLBACK_PORT": str(ports.fallback),
            **base_images(),
            **(environment or {}),
        }

    @property
    def product(self) -> Origin:
        return Origin("127.0.0.1", self.ports.edge)

    @property
    def providers(self) -> dict[str, Origin]:
        return {
            "default": Origin("127.0.0.1", self.ports.default),
            "fallback": Origin("127.0.0.1", self.ports.fallback),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def build(self) -> None:
        self.run("build", "--quiet", timeout_seconds=BUILD_SECONDS_MAX)

    def up(self) -> None:
        """Starts services that do not run, without waiting until they are ready."""
        self.run("up", "--detach", "--no-build")

    def down(self) -> None:
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def restart(self, service: str) -> None:
        self.run("restart", service)

    def logs(self) -> str:
        return self.run("logs", "--no-color", "--tail", "40")

    def run(self, *arguments: str, timeout_seconds: float = COMMAND_SECONDS_MAX) -> str:
        """Runs one command of compose. Returns its output. Raises ComposeError."""
        return _run([*self._command, *arguments], timeout_seconds=timeout_seconds, environment=self._environment)

    def containers(self) -> dict[str, Container]:
        """The container of each service."""
        label = "com.docker.compose"
        ids = docker(
            "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}.project={self.project}"
        ).split()
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return {
            one["Config"]["Labels"][f"{label}.service"]: Container(one["Id"], one["State"]["Pid"], one["RestartCount"])
            for one in found
        }

    def crash(self, service: str) -> None:
        """Sends SIGKILL to the program from outside of its container: after `docker kill` it would not be restarted.

        Another container does it, so that access to the engine is the only permission needed.
        """
        pid = self.containers()[service].pid
        image = base_images()["NATS_IMAGE"]
        docker("run", "--rm", "--pid=host", "--network=none", "--entrypoint", "sh", image, "-c", f"kill -9 {pid}")


def client() -> list[str]:
    """The command of compose: docker's plugin or the separate program. Raises ComposeError."""
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            _run([*command, "version"], timeout_seconds=ANSWER_SECONDS_MAX)
        except ComposeError:
            continue
        return command
    raise ComposeError("there is neither `docker compose` nor docker-compose")


def docker(*arguments: str, timeout_seconds: float = COMMAND_SECONDS_MAX) -> str:
    """Runs one command of docker. Returns its output. Raises ComposeError."""
    return _run(["docker", *arguments], timeout_seconds=timeout_seconds)


def why_not() -> str | None:
    """Why the stack cannot run in containers here; None if it can. Pulls missing images."""
    if shutil.which("docker") is None:
        return "there is no docker"
    try:
        docker("info", timeout_seconds=ANSWER_SECONDS_MAX)
        client()
        for image in base_images().values():
            if not _has(image):
                docker("pull", "--quiet", image, timeout_seconds=PULL_SECONDS_MAX)
    except ComposeError as error:
        return str(error)
    return None


def base_images() -> dict[str, str]:
    """The base images, by the build argument that names each.

    The Dockerfile pins each to a patch level. Where only the tag of its minor version is present, that one is used, for
    machines without a registry.
    """
    pinned = re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    return {variable: os.environ.get(variable) or _present(image) for variable, image in pinned}


def _present(image: str) -> str:
    minor = re.sub(r":(\d+\.\d+)\.\d+", r":\1", image)
    return minor if _has(minor) and not _has(image) else image


def _has(image: str) -> bool:
    try:
        docker("image", "inspect", image, timeout_seconds=ANSWER_SECONDS_MAX)
    except ComposeError:
        return False
    return True


def _run(command: Sequence[str], *, timeout_seconds: float, environment: Mapping[str, str] | None = None) -> str:
    shown = " ".join(command[:2])
    try:
        done = subprocess.run(  # noqa: S603
            command, check=True, capture_output=True, text=True, timeout=timeout_seconds, env=environment
        )
    except subprocess.CalledProcessError as error:
        raise ComposeError(f"{shown}: {error.stderr.strip() or error.stdout.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise ComposeError(f"{shown}: no end after {timeout_seconds:.0f} s") from error
    except OSError as error:
        raise ComposeError(f"{shown}: {error.strerror}") from error
    return done.stdout
