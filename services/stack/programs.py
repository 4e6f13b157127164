"""The programs of a stack, and how each is started and stopped."""

from dataclasses import dataclass, field
from pathlib import Path

from tollgate.stack.broker import GO_RUNTIME, broker_arguments, broker_environment, store_environment
from tollgate.stack.credentials import Credentials
from tollgate.stack.settings import Settings

SOCKET_PATH_BYTES_MAX = 100
"""The system's limit is 104 to 108 bytes, by system."""


MEASURED = ("gateway-1", "gateway-2", "processor", "projector")
"""The programs that serve metrics, in the order of their ports."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process. `environment` is added to the stack's own environment; it holds secrets."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Programs that are stopped together. A group is stopped after all groups listed after it have stopped."""

    name: str
    stop_seconds_max: int
    """How long they may take to stop before they are killed."""
    programs: tuple[Program, ...]


def choose_programs(settings: Settings, credentials: Credentials | None) -> list[Group]:
    """The programs of this stack, broker first. `credentials` are those of its own broker; None where it runs none.

    The start has no order: every service waits for the broker itself. The stop begins at the edge, so that no program
    needs one that has stopped; the bounds add up to less than the ten seconds a stop may take.
    """
    groups = [
        Group("base", 2, (*_broker(settings, credentials), *_simulators(settings))),
        Group("workers", 3, tuple(_service(settings, credentials, name) for name in _workers(settings))),
        Group("gateways", 2, tuple(_gateway(settings, credentials, index) for index in range(2))),
        Group("edge", 2, (_caddy(settings), *_console(settings, credentials))),
    ]
    return [group for group in groups if group.programs]


def _workers(settings: Settings) -> tuple[str, ...]:
    return ("processor", "projector") if settings.charges else ("projector",)


def program_names(groups: list[Group]) -> list[str]:
    return [program.name for group in groups for program in group.programs]


def shared_environment(settings: Settings) -> dict[str, str]:
    """The environment of every program of the stack, without our secrets: each program gets only its own."""
    default, fallback = settings.provider_urls
    return {
        "DATA_DIR": str(settings.data),
        "NATS_URL": settings.nats_url,
        "PAYMENT_PROCESSOR_URL_DEFAULT": default,
        "PAYMENT_PROCESSOR_URL_FALLBACK": fallback,
        # Unbuffered: program logs are read while the programs run.
        "PYTHONUNBUFFERED": "1",
        **(store_environment(settings) if settings.runs_broker else {}),
    }


def fits_socket(path: Path) -> bool:
    return len(bytes(path)) <= SOCKET_PATH_BYTES_MAX


def listens_on_sockets(settings: Settings) -> bool:
    """Whether the gateways listen on unix sockets; on TCP ports where the paths are too long."""
    return all(fits_socket(_socket(settings, index)) for index in range(2))


def _socket(settings: Settings, index: int) -> Path:
    return settings.run / f"gateway-{index + 1}.sock"


def _executable(settings: Settings, name: str) -> str:
    return str(settings.programs / name)


def _written_in_go(settings: Settings, name: str) -> tuple[str, ...]:
    return str(settings.project / "tools" / "timer-slack"), _executable(settings, name)


def _broker(settings: Settings, credentials: Credentials | None) -> tuple[Program, ...]:
    if credentials is None:
        return ()
    command = (*_written_in_go(settings, "nats-server"), *broker_arguments(settings))
    return (Program("nats-server", command, broker_environment(settings, credentials)),)


def _simulators(settings: Settings) -> tuple[Program, ...]:
    if not settings.runs_simulators:
        return ()
    return tuple(
        Program(
            f"simulator-{name}",
            (
                *(_executable(settings, "simulator"), "--name", name, "--host", "127.0.0.1"),
                *("--port", str(settings.simulator_port + index), "--fee", fee),
            ),
        )
        for index, (name, fee) in enumerate((("default", "0.05"), ("fallback", "0.15")))
    )


def _as_user(settings: Settings, credentials: Credentials | None, user: str) -> dict[str, str]:
    return {} if credentials is None else {"NATS_URL": credentials.url(settings, user)}


def _service(settings: Settings, credentials: Credentials | None, name: str) -> Program:
    environment = {**_measured(settings, name), **_as_user(settings, credentials, name)}
    return Program(name, (_executable(settings, name), "run"), environment)


def _measured(settings: Settings, name: str) -> dict[str, str]:
    if not settings.metrics_port:
        return {}
    return {"METRICS_HOST": "127.0.0.1", "METRICS_PORT": str(settings.metrics_port + MEASURED.index(name))}


def _gateway(settings: Settings, credentials: Credentials | None, index: int) -> Program:
    name = f"gateway-{index + 1}"
    where = (
        {"GATEWAY_UDS": str(_socket(settings, index))}
        if listens_on_sockets(settings)
        else {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(settings.gateway_port + index)}
    )
    user = _as_user(settings, credentials, "gateway")
    environment = {"GATEWAY_NAME": name, **where, **_measured(settings, name), **user}
    return Program(name, (_executable(settings, "gateway"), "run"), environment)


def _console(settings: Settings, credentials: Credentials | None) -> tuple[Program, ...]:
    if not settings.has_console:
        return ()
    # Always on loopback here; docs/how-to/console.md shows how to open it wider.
    where = {"CONSOLE_HOST": "127.0.0.1", "CONSOLE_PORT": str(settings.console_port)}
    environment = {**where, **_as_user(settings, credentials, "console")}
    return (Program("console", (_executable(settings, "console"), "run"), environment),)


def _caddy(settings: Settings) -> Program:
    upstreams = {
        f"TOLLGATE_UPSTREAM_{index + 1}": f"unix/{_socket(settings, index)}"
        if listens_on_sockets(settings)
        else f"127.0.0.1:{settings.gateway_port + index}"
        for index in range(2)
    }
    config = str(settings.project / "caddy" / "Caddyfile")
    own = str(settings.run / "caddy")
    return Program(
        "caddy",
        (*_written_in_go(settings, "caddy"), "run", "--config", config, "--adapter", "caddyfile"),
        {
            "TOLLGATE_SITE": f":{settings.edge_port}",
            **upstreams,
            **GO_RUNTIME,
            # Caddy writes files of its own; keep them out of the home directory.
            "XDG_CONFIG_HOME": own,
            "XDG_DATA_HOME": own,
        },
    )
