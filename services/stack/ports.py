"""The TCP ports of a stack, and checks that they are free."""

import errno
import socket
from dataclasses import dataclass

from tollgate.runtime.errors import SettingError
from tollgate.stack.errors import PortTakenError
from tollgate.stack.programs import MEASURED, listens_on_sockets
from tollgate.stack.settings import Settings


@dataclass(frozen=True, slots=True)
class Port:
    """A needed port. `variable` is the setting that changes it; it sets the first of consecutive ports."""

    number: int
    program: str
    variable: str
    everywhere: bool = False
    """Listens on all addresses, not on loopback alone."""


def needed_ports(settings: Settings) -> list[Port]:
    """Every TCP port that a program of this stack listens on."""
    ports = [Port(settings.edge_port, "caddy", "TOLLGATE_PORT", everywhere=True)]
    if settings.has_console:
        ports.append(Port(settings.console_port, "console", "TOLLGATE_CONSOLE_PORT"))
    if not listens_on_sockets(settings):
        ports += [Port(settings.gateway_port + i, f"gateway-{i + 1}", "TOLLGATE_GATEWAY_PORT") for i in range(2)]
    if settings.runs_broker:
        ports.append(Port(settings.nats_port, "nats-server", "TOLLGATE_NATS_PORT"))
        ports.append(Port(settings.nats_monitor_port, "nats-server", "TOLLGATE_NATS_MONITOR_PORT"))
    if settings.runs_simulators:
        for i, name in enumerate(("simulator-default", "simulator-fallback")):
            ports.append(Port(settings.simulator_port + i, name, "TOLLGATE_SIMULATOR_PORT"))
    if settings.metrics_port:
        for i, name in enumerate(MEASURED):
            ports.append(Port(settings.metrics_port + i, f"the metrics of {name}", "TOLLGATE_METRICS_PORT"))
    return ports


def check_distinct(ports: list[Port]) -> None:
    """Raises SettingError when two programs would get the same port."""
    seen: dict[int, Port] = {}
    for port in ports:
        if (other := seen.setdefault(port.number, port)) is not port:
            raise SettingError(
                f"{port.program} and {other.program} would both listen on port {port.number}: "
                f"set {port.variable} or {other.variable}"
            )


def check_free(ports: list[Port]) -> None:
    """Raises PortTakenError for the first port that cannot be listened on now."""
    for port in ports:
        try:
            _listen_once(port)
        except OverflowError as error:
            raise SettingError(f"{port.variable} leads to port {port.number}, which does not exist") from error
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise PortTakenError(
                f"port {port.number}, which {port.program} needs, {why}; set {port.variable} to another"
            ) from error


def _listen_once(port: Port) -> None:
    if not port.everywhere:
        _bind(socket.AF_INET, "127.0.0.1", port.number)
        return
    _bind(socket.AF_INET, "", port.number)
    try:
        _bind(socket.AF_INET6, "", port.number)
    except OSError as error:
        # Without IPv6 Caddy listens on IPv4 only.
        if error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            raise


def _bind(family: socket.AddressFamily, host: str, number: int) -> None:
    with socket.socket(family) as probe:
        # As the servers do: connections of an earlier run that still linger do not count as in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.bind((host, number))
        probe.listen()
