"""The settings of a stack, from the environment. All have defaults."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import environ

from tollgate.runtime.errors import SettingError
from tollgate.runtime.settings import (
    archive_dir,
    broker_address,
    file,
    folder,
    load,
    matching,
    port,
    seconds,
    switch,
    web_address,
    whole_number,
)

_SYNC_INTERVAL = re.compile(r"always|[1-9]\d{0,5}(ms|s|m)")
_UNUSABLE_IN_PATHS = "\"';#%\\{}"
"""Characters that the configuration of supervisor, nats-server or Caddy cannot hold in a path."""


@environ.config(prefix="")
class Environment:
    """The variables as set; an empty URL means that the stack runs that part itself."""

    data_dir: Path = folder("./data", what="Where the log, the read model, the program logs and the sockets are.")
    archive_dir: Path | None = archive_dir()
    nats_url: str = broker_address("", what="A broker that runs elsewhere; with one, no nats-server is started.")
    nats_ca_file: str = file("", what="The authority that signed its certificate; the system's authorities if empty.")
    payment_processor_url_default: str = web_address(
        "", what="The provider with the lower fee; with it, no simulators are started."
    )
    payment_processor_url_fallback: str = web_address(
        "", what="The provider with the higher fee; with it, no simulators are started."
    )
    nats_sync_interval: str = matching(
        "always",
        _SYNC_INTERVAL,
        "`always`, or an interval such as 10s",
        what="When an accepted payment is on the disk: `always` before it is accepted, `10s` within ten seconds.",
    )
    allow_purge: bool = switch(False, what="Whether `POST /purge-payments` empties the log, and the broker permits it.")
    tollgate_charges: bool = switch(
        True, what="Whether processor and simulators run; without them payments are accepted and wait."
    )
    tollgate_port: int = port(9999, what="The port for clients.")
    tollgate_console: bool = switch(True, what="Whether the console runs.")
    tollgate_console_port: int = port(9998, what="The port of the console, on loopback.")
    tollgate_gateway_port: int = port(
        9001, what="The first of two ports of the gateways, used only where a socket path is too long."
    )
    tollgate_simulator_port: int = port(8001, what="The first of two ports of the simulators.")
    tollgate_nats_port: int = port(4222, what="The broker's port.")
    tollgate_nats_monitor_port: int = port(8222, what="The port of the broker's monitoring.")
    tollgate_metrics_port: int = whole_number(
        9101,
        at_least=0,
        at_most=65_532,
        what="The first of four ports on loopback for metrics: of gateways, processor, projector. 0 for none.",
    )
    tollgate_ready_seconds: float = seconds(
        60.0,
        at_least=1,
        at_most=86_400,
        what="How long a start may take before the programs that do not run are named.",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables with defaults resolved, and the paths on the disk. Paths are absolute."""

    data: Path
    archive_dir: Path | None
    project: Path
    """The folder of nats.conf and caddy/Caddyfile."""
    programs: Path
    """The directory of the executables: that of the running Python."""
    nats_url: str
    """The broker; with credentials only where they came with NATS_URL."""
    nats_ca_file: str
    provider_urls: tuple[str, str]
    runs_broker: bool
    runs_simulators: bool
    charges: bool
    sync_interval: str
    allows_purge: bool
    edge_port: int
    has_console: bool
    console_port: int
    gateway_port: int
    simulator_port: int
    nats_port: int
    nats_monitor_port: int
    metrics_port: int
    ready_seconds: float

    @property
    def run(self) -> Path:
        """The folder of files that only a running stack needs: sockets, lock, passwords, generated configuration."""
        return self.data / "run"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def console_url(self) -> str:
        return f"http://127.0.0.1:{self.console_port}"

    @property
    def edge_url(self) -> str:
        return f"http://127.0.0.1:{self.edge_port}"


def read_settings(environment: dict[str, str]) -> Settings:
    """Reads the settings. Raises SettingError when a variable has an unusable value."""
    if environment.get("TOLLGATE_SITE"):
        raise SettingError("TOLLGATE_SITE is not for `make run`, which serves plain HTTP: see docs/how-to/tls.md")
    values = load(Environment, environment)
    own_broker = f"nats://127.0.0.1:{values.tollgate_nats_port}"
    settings = Settings(
        data=values.data_dir.absolute(),
        archive_dir=None if values.archive_dir is None else values.archive_dir.absolute(),
        project=Path(__file__).resolve().parents[2],
        programs=Path(sys.executable).absolute().parent,
        nats_url=values.nats_url or own_broker,
        nats_ca_file=values.nats_ca_file,
        provider_urls=(
            values.payment_processor_url_default or f"http://127.0.0.1:{values.tollgate_simulator_port}",
            values.payment_processor_url_fallback or f"http://127.0.0.1:{values.tollgate_simulator_port + 1}",
        ),
        runs_broker=values.nats_url in {"", own_broker},
        runs_simulators=values.tollgate_charges
        and not (values.payment_processor_url_default or values.payment_processor_url_fallback),
        charges=values.tollgate_charges,
        sync_interval=values.nats_sync_interval,
        allows_purge=values.allow_purge,
        edge_port=values.tollgate_port,
        has_console=values.tollgate_console,
        console_port=values.tollgate_console_port,
        gateway_port=values.tollgate_gateway_port,
        simulator_port=values.tollgate_simulator_port,
        nats_port=values.tollgate_nats_port,
        nats_monitor_port=values.tollgate_nats_monitor_port,
        metrics_port=values.tollgate_metrics_port,
        ready_seconds=values.tollgate_ready_seconds,
    )
    for what, path in (
        ("DATA_DIR", settings.data),
        ("the checkout", settings.project),
        ("the directory of the programs", settings.programs),
    ):
        if unusable := {one for one in str(path) if one in _UNUSABLE_IN_PATHS or not one.isprintable()}:
            shown = " ".join(sorted(repr(one)[1:-1] for one in unusable))
            raise SettingError(f"{what} is {str(path)!r}: it must be a path without {shown}")
    return settings
