"""nats-server as a part of the stack: the flags and the environment that nats.conf leaves open."""

from tollgate.stack.credentials import Credentials
from tollgate.stack.settings import Settings


def broker_arguments(settings: Settings) -> tuple[str, ...]:
    """Which configuration, on which ports; the address is the file's, loopback."""
    # Who may purge is the broker's to say, not the gateway's.
    config = "nats-purge.conf" if settings.allows_purge else "nats.conf"
    return (
        *("--config", str(settings.project / config)),
        *("--port", str(settings.nats_port)),
        *("--http_port", str(settings.nats_monitor_port)),
    )


def broker_environment(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """What goes to nats-server alone."""
    # A soft limit: Go collects garbage sooner as it gets near, and goes above it rather than fail.
    return {"GOMEMLIMIT": "64MiB", "NATS_SYNC_INTERVAL": settings.sync_interval, **credentials.environment}


def store_environment(settings: Settings) -> dict[str, str]:
    """Where the log is, quoted for nats-server, which reads the value as a piece of its configuration.

    Supervisor's configuration cannot hold the quotes, so that every program gets it.
    """
    return {"NATS_STORE_DIR": f'"{settings.data / "nats"}"'}
