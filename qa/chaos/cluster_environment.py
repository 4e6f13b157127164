"""The stack of a run with three brokers, whose log is on all of them, and a projector with a standby."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qa.chaos.cluster import (
    AROUND,
    BROKERS,
    CLIENT_LINKS,
    CLUSTER_PROGRAMS,
    LEADER,
    PROJECTORS,
    ROUTE_LINKS,
    ROUTES,
)
from qa.chaos.environment import Environment, NotReadyError
from qa.chaos.plan import BROKER, LOGS
from qa.chaos.proxy import Link, Server
from qa.load.client import NoAnswerError, Origin, Pool
from tollgate.contract.subjects import STREAM
from tollgate.messaging.connection import Broker
from tollgate.messaging.read_model_client import ReadModel, ReadModelUnavailableError
from tollgate.projector.live.files import ModelFiles
from tollgate.stack.programs import Program

_FIRST_FREE_PORT = 17
"""After those of an environment with one broker."""
CATCH_UP_SECONDS_MAX = 60.0
SNAPSHOT_SECONDS_MAX = 5.0
_MONITOR_SECONDS_MAX = 0.5
_CLUSTER = """
cluster {{
  name: tollgate
  listen: "127.0.0.1:{port}"
  # Neither clients nor other brokers learn of an address that leads past the links.
  no_advertise: true
  advertise: "127.0.0.1:1"
  routes: [{routes}]
}}
"""


class ClusterEnvironment(Environment):
    """An environment whose broker is a cluster of three. Everything is on one machine; routes have no TLS."""

    def __init__(
        self,
        folder: Path,
        first_port: int,
        *,
        seed: int,
        environment: Mapping[str, str],
        traits: Mapping[str, float] = MappingProxyType({}),
        services: Path | None = None,
    ) -> None:
        super().__init__(folder, first_port, seed=seed, environment=environment, traits=traits, services=services)
        ports = iter(range(first_port + _FIRST_FREE_PORT, first_port + 64))
        self._client_ports = dict(zip(BROKERS, (self.settings.nats_port, next(ports), next(ports)), strict=True))
        self._monitor_ports = dict(
            zip(BROKERS, (self.settings.nats_monitor_port, next(ports), next(ports)), strict=True)
        )
        self._route_ports = {broker: next(ports) for broker in BROKERS}
        for name in LOGS:
            del self.links[name]
        for name, (_, broker) in CLIENT_LINKS.items():
            self.links[name] = Link(name, next(ports), Server(self._client_ports[broker]))
        for name, (_, other) in ROUTE_LINKS.items():
            self.links[name] = Link(name, next(ports), Server(self._route_ports[other]))

    @property
    def programs(self) -> tuple[str, ...]:
        return CLUSTER_PROGRAMS

    @property
    def model_folders(self) -> tuple[Path, ...]:
        return (self.folder, self._standby_folder)

    @property
    def _standby_folder(self) -> Path:
        return self.folder / "standby"

    def nats_url_of(self, user: str) -> str:
        url = super().nats_url_of(user)
        own = f":{self.settings.nats_port}"
        return ",".join(url.replace(own, f":{port}") for port in self._client_ports.values())

    def links_of(self, target: str) -> list[Link]:
        """A target is a link, all links of a program to the brokers, or those of a broker (`nats-1-routes`)."""
        if target in self.links:
            return [self.links[target]]
        program, _, which = target.rpartition("-")
        if which in {ROUTES, AROUND}:
            names = [name for name, ends in ROUTE_LINKS.items() if program in ends]
            names += [name for name, (_, broker) in CLIENT_LINKS.items() if which == AROUND and broker == program]
        else:
            client = target.removesuffix(f"-{BROKER}")
            names = [name for name, (one, _) in CLIENT_LINKS.items() if one == client]
        return [self.links[name] for name in names]

    async def resolve(self, target: str) -> str:
        if target != LEADER and not target.startswith(f"{LEADER}-"):
            return target
        return target.replace(LEADER, await self.leader(), 1)

    async def leader(self) -> str:
        """The broker that leads the log, as most brokers see it; the first one when none tells."""
        seen = await asyncio.gather(*(self._leader_seen_by(broker) for broker in BROKERS))
        return Counter([one for one in seen if one] or [BROKERS[0]]).most_common(1)[0][0]

    async def settle(self) -> None:
        """Waits until both read models hold the log to its end. Raises TollgateError."""
        deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
        async with Broker(self.nats_url, name="operator") as broker:
            for folder in self.model_folders:
                while not await self._holds_all(ReadModel(broker), folder):
                    if time.monotonic() > deadline:
                        raise NotReadyError(f"the read model in {folder} does not reach the log's end")

    @staticmethod
    async def _holds_all(read_model: ReadModel, folder: Path) -> bool:
        owner = ModelFiles(folder / "projector").owner()
        try:
            # A projector copies its file only once that holds what the log held at the question.
            await read_model.snapshot(timeout_seconds=SNAPSHOT_SECONDS_MAX, instance=owner)
        except ReadModelUnavailableError:
            return False
        return True

    async def _leader_seen_by(self, broker: str) -> str:
        pool = Pool(Origin("127.0.0.1", self._monitor_ports[broker]), 1)
        try:
            answer = await pool.ask(pool.origin.request("GET", "/jsz?streams=true"), _MONITOR_SECONDS_MAX)
            return _leader_in(json.loads(answer.body))
        except (NoAnswerError, ValueError):
            return ""
        finally:
            pool.close()

    def _linked_url(self, program: str, url: str) -> str:
        own = f":{self.settings.nats_port}"
        ports = (self.links[f"{program}-{broker}"].port for broker in BROKERS)
        return ",".join(url.replace(own, f":{port}") for port in ports)

    def _replicas(self, program: Program) -> list[Program]:
        if program.name == BROKER:
            return [self._broker(program, broker) for broker in BROKERS]
        if program.name == PROJECTORS[0]:
            shared = {**program.environment, "LOG_REPLICAS": str(len(BROKERS)), "PROJECTOR_STANDBY": "true"}
            own: tuple[dict[str, str], ...] = ({}, {"DATA_DIR": str(self._standby_folder)})
            return [
                replace(program, name=name, environment=shared | more)
                for name, more in zip(PROJECTORS, own, strict=True)
            ]
        return super()._replicas(program)

    def _broker(self, program: Program, broker: str) -> Program:
        config = self.settings.run / f"{broker}.conf"
        routes = ", ".join(
            f'"nats-route://127.0.0.1:{self.links[name].port}"'
            for name, (one, _) in ROUTE_LINKS.items()
            if one == broker
        )
        cluster = _CLUSTER.format(port=self._route_ports[broker], routes=routes)
        config.write_text((self.settings.project / "nats.conf").read_text() + cluster)
        ports = {
            str(self.settings.project / "nats.conf"): str(config),
            str(self.settings.nats_port): str(self._client_ports[broker]),
            str(self.settings.nats_monitor_port): str(self._monitor_ports[broker]),
        }
        command = (*(ports.get(part, part) for part in program.command), "--server_name", broker)
        # Unquoted: supervisor's configuration holds no quotes, and the folder's name needs none.
        store = {"NATS_STORE_DIR": str(self.folder / broker)}
        return replace(program, name=broker, command=command, environment=program.environment | store)


def _leader_in(jsz: Mapping[str, Any]) -> str:
    """The leader of the log in the answer of `/jsz`; empty when it has none."""
    for account in jsz.get("account_details") or ():
        for stream in account.get("stream_detail") or ():
            if stream["name"] == STREAM:
                return re.sub(r"\s", "", (stream.get("cluster") or {}).get("leader") or "")
    return ""
