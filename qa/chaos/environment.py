"""One whole stack, as `tollgate run` composes it, with a second processor and a network between its programs.

Programs, commands, passwords and supervisor are the product's own (`services/stack`). Only the addresses differ: each
leads to a link that can be cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import psutil

from qa.chaos.clocks import Clock
from qa.chaos.disks import Disk
from qa.chaos.plan import BROKER, CHARGES, CLOCKS, DISKS, EDGE, EDGES, GATEWAYS, LINKS, LOGS, PROCESSORS, PROGRAMS
from qa.chaos.proxy import Link, Server
from qa.load.client import NoAnswerError, Origin, Pool
from qa.load.processes import Supervised
from tollgate.stack.credentials import ensure_credentials
from tollgate.stack.files import write_private
from tollgate.stack.programs import Group, Program, choose_programs, shared_environment
from tollgate.stack.settings import Settings, read_settings
from tollgate.stack.supervision import control_socket, render_supervisor_config

READY_SECONDS_MAX = 60.0
READY_IN_A_ROW = 8
"""Several answers: the edge asks either gateway, and one being ready does not imply the other is."""
TOKEN = "123"  # noqa: S105 - the benchmark's, public
_POLL_SECONDS = 0.1
_EDGE_PORT, _NATS_PORT, _MONITOR_PORT, _SIMULATOR_PORT, _LINK_PORT = 0, 1, 2, 3, 5
_OURS = ("DATA_DIR", "NATS_", "PAYMENT_PROCESSOR_", "PROCESSOR_", "TOLLGATE_", "GATEWAY_", "ALLOW_PURGE", "PYTHONPATH")


class NotReadyError(Exception):
    """The stack did not become ready."""


class Environment:
    """An async context manager: the stack is ready inside, and all its processes are ended after.

    `services` is the source tree of the services, where it is not the installed one. `environment` goes to every
    program; `traits` are faults that the simulators have from the start. With `disks`, the broker's store and the read
    model are on separate small disks; with `clocks`, each service has its own wall clock. The simulators keep their
    charges in files, so that these survive a restart, as at real providers.
    """

    def __init__(
        self,
        folder: Path,
        first_port: int,
        *,
        seed: int,
        environment: Mapping[str, str],
        traits: Mapping[str, float] = MappingProxyType({}),
        services: Path | None = None,
        disks: bool = False,
        clocks: bool = False,
    ) -> None:
        self.folder = folder
        self._seed = seed
        self._traits = traits
        self._services = services
        self._supervisor: subprocess.Popen[bytes] | None = None
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self._environment = inherited | dict(environment)
        self.settings: Settings = read_settings(
            {
                "DATA_DIR": str(folder),
                "TOLLGATE_PORT": str(first_port + _EDGE_PORT),
                "TOLLGATE_NATS_PORT": str(first_port + _NATS_PORT),
                "TOLLGATE_NATS_MONITOR_PORT": str(first_port + _MONITOR_PORT),
                "TOLLGATE_SIMULATOR_PORT": str(first_port + _SIMULATOR_PORT),
                "TOLLGATE_CONSOLE": "false",
                "TOLLGATE_METRICS_PORT": "0",
            }
        )
        ports = {name: first_port + _LINK_PORT + number for number, name in enumerate(LINKS)}
        simulators = dict(zip(("default", "fallback"), range(first_port + 3, first_port + 5), strict=True))
        self.links = {
            **{name: Link(name, ports[name], Server(path=self._socket(to))) for name, to in EDGES.items()},
            **{name: Link(name, ports[name], Server(self.settings.nats_port)) for name in LOGS},
            **{name: Link(name, ports[name], Server(simulators[to])) for name, (_, to) in CHARGES.items()},
        }
        self.edge = Origin("127.0.0.1", self.settings.edge_port)
        self.simulators = {name: Origin("127.0.0.1", port) for name, port in simulators.items()}
        self.disks = {name: Disk(folder / name) for name in DISKS} if disks else {}
        self.clocks = {name: Clock(folder / f"{name}.clock") for name in CLOCKS} if clocks else {}
        self._finder = Supervised(folder)

    @property
    def programs(self) -> tuple[str, ...]:
        return PROGRAMS

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """The DATA_DIR of each projector."""
        return (self.folder,)

    async def settle(self) -> None:
        """Waits until every read model holds the log to its end; the one that answered the last summary does."""

    def links_of(self, target: str) -> list[Link]:
        """The links that a fault of this target is for."""
        return [self.links[target]]

    async def resolve(self, target: str) -> str:
        """The program or link that a fault of this target is for, now."""
        return target

    @property
    def nats_url(self) -> str:
        """The direct URL of the broker for the operator."""
        return self.nats_url_of("operator")

    def nats_url_of(self, user: str) -> str:
        """The direct URL of the broker for that user."""
        return self._credentials.url(self.settings, user)

    @property
    def logs(self) -> Path:
        return self.settings.logs

    async def __aenter__(self) -> Self:
        try:
            for disk in self.disks.values():
                disk.mount()
            for clock in self.clocks.values():
                clock.set(0.0)
            for link in self.links.values():
                await link.open()
            self._start()
            await self._wait_until_ready()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def processes(self, program: str) -> list[psutil.Process]:
        """The program's process id; None while it is being restarted."""
        return self._finder.find().get(program, [])

    def kill_all(self) -> None:
        """Kills everything with SIGKILL: the programs end with their supervisor."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            family = [process for found in self._finder.find().values() for process in found]
            self._supervisor.kill()
            self._supervisor.wait()
            _, alive = psutil.wait_procs(family, 5)
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def signal(self, program: str, number: signal.Signals) -> bool:
        """Sends the signal. Returns whether there was a process."""
        sent = False
        for process in self.processes(program):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
                sent = True
        return sent

    async def ready(self) -> None:
        """Waits until both gateways are ready. Raises NotReadyError."""
        await self._wait_until_ready()

    def _start(self) -> None:
        for directory in (self.settings.run, self.settings.logs, control_socket(self.settings).parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._credentials = ensure_credentials(self.settings)
        groups = [self._rewired(group) for group in choose_programs(self.settings, self._credentials)]
        config = self.settings.run / "supervisord.conf"
        write_private(config, render_supervisor_config(self.settings, groups))
        source = {"PYTHONPATH": str(self._services.parent)} if self._services else {}
        # From this thread, which lasts for the run: the supervisor ends with the thread that started it.
        with (self.folder / "supervisor.out").open("ab") as output:
            self._supervisor = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "tollgate.stack.supervisord", str(os.getpid()), "-n", "-c", str(config)],
                env=self._environment | shared_environment(self.settings) | source,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _rewired(self, group: Group) -> Group:
        programs = (self._linked(replica) for program in group.programs for replica in self._replicas(program))
        return replace(group, programs=tuple(programs))

    def _replicas(self, program: Program) -> list[Program]:
        """The programs to run in place of this one."""
        if program.name == PROCESSORS[0]:
            return [program, replace(program, name=PROCESSORS[1])]
        return [program]

    def _linked_url(self, program: str, url: str) -> str:
        """The broker's URL with the address of the program's link."""
        return url.replace(f":{self.settings.nats_port}", f":{self.links[f'{program}-{BROKER}'].port}")

    def _linked(self, program: Program) -> Program:
        environment = dict(program.environment)
        command = program.command
        if "NATS_URL" in environment:
            environment["NATS_URL"] = self._linked_url(program.name, environment["NATS_URL"])
        if program.name in self.clocks:
            environment |= self.clocks[program.name].environment()
        if program.name in PROCESSORS:
            for processor in ("default", "fallback"):
                link = self.links[f"{program.name}-{processor}"]
                environment[f"PAYMENT_PROCESSOR_URL_{processor.upper()}"] = f"http://127.0.0.1:{link.port}"
        if program.name == EDGE:
            for number, gateway in enumerate(GATEWAYS, start=1):
                link = self.links[f"{EDGE}-{gateway}"]
                environment[f"TOLLGATE_UPSTREAM_{number}"] = f"127.0.0.1:{link.port}"
            # Both gateways at once, so that they compete for the log.
            environment["TOLLGATE_LB_POLICY"] = "random"
        if program.name.startswith("simulator-"):
            command = (*command, "--book", str(self.folder / f"{program.name}.book"), "--seed", str(self._seed))
            command = (
                *command,
                *(part for name, value in self._traits.items() for part in ("--fault", f"{name}={value}")),
            )
        return replace(program, command=command, environment=environment)

    def _socket(self, gateway: str) -> Path:
        # Where `tollgate run` puts it; a folder whose path is too long for a socket is refused by the caller.
        return self.settings.run / f"{gateway}.sock"

    async def _wait_until_ready(self) -> None:
        pool = Pool(self.edge, READY_IN_A_ROW)
        deadline = time.monotonic() + READY_SECONDS_MAX
        try:
            while not await self._is_ready(pool):
                if self._supervisor is None or self._supervisor.poll() is not None:
                    raise NotReadyError(f"the supervisor ended: {self.folder / 'supervisor.out'}")
                if time.monotonic() > deadline:
                    raise NotReadyError(f"not ready after {READY_SECONDS_MAX:.0f} s: {self.logs}")
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            pool.close()

    async def _is_ready(self, pool: Pool) -> bool:
        request = self.edge.request("GET", "/readyz")
        asked = await asyncio.gather(*(pool.ask(request, 2.0) for _ in range(READY_IN_A_ROW)), return_exceptions=True)
        for answer in asked:
            if isinstance(answer, NoAnswerError) or (not isinstance(answer, BaseException) and answer.status != 204):
                return False
            if isinstance(answer, BaseException):
                raise answer
        return True

    async def _stop(self) -> None:
        self.kill_all()
        for disk in self.disks.values():
            disk.unmount()
        for link in self.links.values():
            await link.close()
