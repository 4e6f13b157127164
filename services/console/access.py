"""Who may read the console: everybody on loopback, otherwise holders of the token. Pure.

Without a token the request's Host must be a loopback name, so that a page from elsewhere cannot read the console
through a name that resolves to 127.0.0.1.
"""

import hmac
from dataclasses import dataclass, field

COOKIE = "tollgate_console"
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Access:
    """The rule; an empty token means loopback only."""

    token: str = field(default="", repr=False)

    def allows(self, host: str, cookie: str | None, authorization: str | None) -> bool:
        """Whether a request with these headers may read."""
        if not self.token:
            return host.rpartition(":")[0] in _LOOPBACK_HOSTS or host in _LOOPBACK_HOSTS
        return self.is_token(cookie) or self.is_token((authorization or "").removeprefix("Bearer "))

    def is_token(self, given: str | None) -> bool:
        return bool(self.token) and hmac.compare_digest((given or "").encode(), self.token.encode())
