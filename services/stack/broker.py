"""nats-server in the stack: the flags and environment variables that nats.conf leaves open."""

from tollgate.stack.credentials import Credentials
from tollgate.stack.settings import Settings


def broker_arguments(settings: Settings) -> tuple[str, ...]:
    """The arguments of nats-server: configuration and ports. The file sets the address, loopback."""
    # The broker's permissions decide on purges, not the gateway.
    config = "nats-purge.conf" if settings.allows_purge else "nats.conf"
    return (
        *("--config", str(settings.project / config)),
        *("--port", str(settings.nats_port)),
        *("--http_port", str(settings.nats_monitor_port)),
    )


GO_RUNTIME = {
    # A soft limit: near it Go collects garbage more often; it exceeds the limit rather than fail.
    "GOMEMLIMIT": "64MiB",
    # Below it, garbage is collected a fourth as often as by default (docs/decisions/0055).
    "GOGC": "400",
    # One thread: with two cores, waking a second one costs more than it saves (docs/decisions/0036).
    "GOMAXPROCS": "1",
}
"""The environment of nats-server and Caddy."""


def broker_environment(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """Variables for nats-server only."""
    return {
        **GO_RUNTIME,
        "NATS_SYNC_INTERVAL": settings.sync_interval,
        **credentials.environment,
    }


def store_environment(settings: Settings) -> dict[str, str]:
    """The path of the log, quoted for nats-server, which parses the value as part of its configuration.

    Supervisor's configuration cannot hold the quotes, so every program gets the variable.
    """
    return {"NATS_STORE_DIR": f'"{settings.data / "nats"}"'}
