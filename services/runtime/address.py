"""The broker's address: NATS_URL, with its credentials separated from the server addresses."""

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
        """The servers without credentials, for logs."""
        return ", ".join(server.partition("://")[2] for server in self.servers)

    def inbox_prefix(self, otherwise: str) -> str:
        """The prefix of reply subjects: a user may subscribe to its own inboxes only.

        Without a user, `otherwise` takes the place of its name.
        """
        return "_INBOX_" + re.sub(r"[^A-Za-z0-9]", "_", self.user or otherwise)


def parse_address(url: str) -> Address:
    """Parses `nats://user:password@host:4222`, or several separated by commas, all with the first one's credentials.

    Reserved characters of the password are percent-encoded, such as `%2F`. Raises FatalError, whose text has no part of
    the URL, because any part of an unreadable URL may belong to the password.
    """
    try:
        first, *others = (_split(one) for one in url.split(","))
        servers = tuple(_server(one, first) for one in (first, *others))
    except ValueError:
        raise FatalError("NATS_URL is not of the form nats://user:password@host:port") from None
    user, password = (None if one is None else unquote(one) for one in (first.username, first.password))
    if password is None:
        # A user without a password is a token, as in nats-py and the nats CLI.
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
