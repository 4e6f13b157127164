"""What the environment decides about a stack. Everything here has a default."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import environ

from stack.errors import SettingError

_PORT_MAX = 65_535
_SYNC_INTERVAL = re.compile(r"always|[1-9]\d*(ms|s|m)")
_UNQUOTABLE = set("\"';#%\\\n\r")
"""Supervisor's configuration has no way to write all of these in a path."""


def _port(name: str) -> Callable[[str | int], int]:
    def convert(text: str | int) -> int:
        number = int(text) if str(text).isascii() and str(text).isdigit() else 0
        if not 0 < number <= _PORT_MAX:
            raise SettingError(f"{name} is {text}: it must be a port from 1 to {_PORT_MAX}")
        return number

    return convert


def _sync_interval(text: str) -> str:
    if not _SYNC_INTERVAL.fullmatch(text):
        raise SettingError(f"NATS_SYNC_INTERVAL is {text}: it must be `always`, or an interval such as 10s")
    return text


def _ready_seconds(text: str | float) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"TOLLGATE_READY_SECONDS is {text}: it must be a number") from None


@environ.config(prefix="")
class Environment:
    """The variables as they are; an empty URL means that the stack runs that part itself."""

    data_dir: str = environ.var("./data", help="Where the log, the read model, the program logs and the sockets are.")
    nats_url: str = environ.var("", help="A broker that runs elsewhere; then no nats-server is started.")
    payment_processor_url_default: str = environ.var("", help="The cheap processor; then no simulators are started.")
    payment_processor_url_fallback: str = environ.var("", help="The dear processor; then no simulators are started.")
    nats_sync_interval: str = environ.var(
        "always", converter=_sync_interval, help="What a loss of power may cost: `always` nothing, `10s` ten seconds."
    )
    allow_purge: bool = environ.bool_var(False, help="Whether the gateways may empty the log.")
    tollgate_charges: bool = environ.bool_var(
        True, help="Whether the processor runs; without it payments are accepted and wait."
    )
    tollgate_port: int = environ.var(9999, converter=_port("TOLLGATE_PORT"), help="Where clients come in.")
    tollgate_gateway_port: int = environ.var(
        9001, converter=_port("TOLLGATE_GATEWAY_PORT"), help="The first of two, where a socket path is too long."
    )
    tollgate_simulator_port: int = environ.var(
        8001, converter=_port("TOLLGATE_SIMULATOR_PORT"), help="The first of two."
    )
    tollgate_nats_port: int = environ.var(4222, converter=_port("TOLLGATE_NATS_PORT"), help="The broker's.")
    tollgate_nats_monitor_port: int = environ.var(
        8222, converter=_port("TOLLGATE_NATS_MONITOR_PORT"), help="The broker's monitoring."
    )
    tollgate_ready_seconds: float = environ.var(60.0, converter=_ready_seconds, help="How long a start may take.")


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables with their defaults worked out, and where things are on the disk. Paths are absolute."""

    data: Path
    project: Path
    """Where nats.conf and caddy/Caddyfile are."""
    programs: Path
    """The directory of the executables: that of the Python this runs in."""
    nats_url: str
    """The broker; with credentials only where they came with NATS_URL."""
    processor_urls: tuple[str, str]
    runs_broker: bool
    runs_simulators: bool
    charges: bool
    sync_interval: str
    allows_purge: bool
    edge_port: int
    gateway_port: int
    simulator_port: int
    nats_port: int
    nats_monitor_port: int
    ready_seconds: float

    @property
    def run(self) -> Path:
        """What only a running stack needs: sockets, lock, passwords, generated configuration."""
        return self.data / "run"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def edge_url(self) -> str:
        return f"http://127.0.0.1:{self.edge_port}"


def read_settings(environment: dict[str, str]) -> Settings:
    """Raises SettingError when a variable has a value that cannot be used."""
    # A variable that is set to nothing, as compose files and CI do, counts as not set.
    given = {name: value for name, value in environment.items() if value}
    if "TOLLGATE_SITE" in given:
        raise SettingError("TOLLGATE_SITE is not for `make run`, which serves plain HTTP: see docs/operating.md")
    values = environ.to_config(Environment, environ=given)
    own_broker = f"nats://127.0.0.1:{values.tollgate_nats_port}"
    settings = Settings(
        data=Path(values.data_dir).absolute(),
        project=Path(__file__).absolute().parents[2],
        programs=Path(sys.executable).absolute().parent,
        nats_url=values.nats_url or own_broker,
        processor_urls=(
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
        gateway_port=values.tollgate_gateway_port,
        simulator_port=values.tollgate_simulator_port,
        nats_port=values.tollgate_nats_port,
        nats_monitor_port=values.tollgate_nats_monitor_port,
        ready_seconds=values.tollgate_ready_seconds,
    )
    for what, path in (
        ("DATA_DIR", settings.data),
        ("the checkout", settings.project),
        ("the directory of the programs", settings.programs),
    ):
        if unquotable := _UNQUOTABLE & set(str(path)):
            raise SettingError(f"{what} is {path}: choose a path without {' '.join(sorted(unquotable))}")
    return settings
