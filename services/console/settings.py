"""The console's settings, from the environment."""

import re

import environ

from tollgate.runtime.errors import SettingError
from tollgate.runtime.settings import LogSettings, broker_address, file, host, matching, port

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")


@environ.config(prefix="")
class Settings(LogSettings):
    """With a host that is not loopback a token is required."""

    nats_url: str = broker_address("nats://127.0.0.1:4222", what="The broker, with user and password.")
    nats_ca_file: str = file(
        "", what="The authority that signed the broker's certificate; the system's authorities if empty."
    )
    console_host: str = host("127.0.0.1", what="The address to listen on; any but loopback requires `CONSOLE_TOKEN`.")
    console_port: int = port(9998, what="The port to listen on.")
    console_token: str = matching(
        "",
        _TOKEN,
        "16 to 256 letters, digits, dots, underscores, tildes or hyphens",
        what="What a browser has to present, once, as `/?token=…`; none is asked for if empty.",
        is_secret=True,
    )


def check(settings: Settings) -> None:
    """Raises SettingError when others than this machine's users could read the console without a token."""
    if settings.console_host not in LOOPBACK and not settings.console_token:
        raise SettingError("CONSOLE_TOKEN is not set: it must be set where CONSOLE_HOST is not loopback")
