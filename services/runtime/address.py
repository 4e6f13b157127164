"""Where the broker is, and as whom a service goes there: NATS_URL, with its password set apart."""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from tollgate.runtime.errors import FatalError

PORT = 4222
_SCHEMES = ("nats", "tls")


@dataclass(frozen=True, slots=True)
class Address:
    """`servers` are URLs without credentials."""

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """What may be logged."""
        return ", ".join(server.partition("://")[2] for server in self.servers)

    def inbox_prefix(self, otherwise: str) -> str:
        """What the broker's answers come back under: a user may listen to no inboxes but its own.

        `otherwise` names them where there is no user.
        """
        return "_INBOX_" + re.sub(r"[^A-Za-z0-9]", "_", self.user or otherwise)


def parse_address(url: str) -> Address:
    """Reads `nats://user:password@host:4222`, or several with a comma between, all with the first one's credentials.

    A character of the password that means something in a URL is written as `%2F`. Raises FatalError; it shows nothing
    of the URL, because what cannot be told apart may be a piece of the password.
    """
    try:
        first, *others = (_split(one) for one in url.split(","))
        servers = tuple(_server(one, first) for one in (first, *others))
    except ValueError:
        raise FatalError("NATS_URL is not of the form nats://user:password@host:port") from None
    user, password = (None if one is None else unquote(one) for one in (first.username, first.password))
    if password is None:
        # A name alone is a token, for nats-py as for the nats CLI.
        return Address(servers, token=user)
    return Address(servers, user, password)


def _split(url: str) -> SplitResult:
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("more than an address")
    return parts


def _server(parts: SplitResult, first: SplitResult) -> str:
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.port == 0:
        raise ValueError("no address of a broker")
    if parts.username not in {None, first.username}:
        raise ValueError("a user of its own")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or PORT}"
