"""The broker's users and their passwords: created once for each DATA_DIR, readable only by its owner."""

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from tollgate.runtime.running_stack import credentials_file, read_passwords
from tollgate.stack.errors import NotRunningError
from tollgate.stack.files import write_private
from tollgate.stack.settings import Settings

USERS = ("gateway", "processor", "projector", "operator", "console")
_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{32,}")
"""A first letter: nats-server parses a password as configuration, where a leading digit could mean a number."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Passwords by user."""

    passwords: dict[str, str] = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that nats.conf reads."""
        return {_variable(user): password for user, password in self.passwords.items()}

    def url(self, settings: Settings, user: str) -> str:
        """The URL of the stack's own broker for that user."""
        return f"nats://{user}:{self.passwords[user]}@127.0.0.1:{settings.nats_port}"


def ensure_credentials(settings: Settings) -> Credentials:
    """The passwords of this DATA_DIR; new ones unless all exist and no other user could have read them.

    Only for the holder of the lock of the DATA_DIR.
    """
    path = credentials_file(settings.data)
    if (known := _read(path)) is not None:
        return known
    made = Credentials({user: f"p{secrets.token_urlsafe(32)}" for user in USERS})
    write_private(path, "".join(f"{name}={password}\n" for name, password in made.environment.items()))
    return made


def operator_url(settings: Settings) -> str:
    """The operator's URL, for the nats CLI. Raises NotRunningError when there are no passwords yet."""
    if not settings.runs_broker:
        return settings.nats_url
    known = _read(credentials_file(settings.data))
    if known is None:
        raise NotRunningError(f"no stack has run on {settings.data} yet: its broker has no passwords")
    return known.url(settings, "operator")


def _variable(user: str) -> str:
    return f"NATS_{user.upper()}_PASSWORD"


def _read(path: Path) -> Credentials | None:
    try:
        with path.open() as file:
            status = os.fstat(file.fileno())
            lines = read_passwords(file.read())
    except (OSError, UnicodeDecodeError):
        return None
    passwords = {user: lines.get(_variable(user), "") for user in USERS}
    is_private = status.st_uid == os.getuid() and not status.st_mode & 0o077
    if is_private and all(map(_PASSWORD.fullmatch, passwords.values())):
        return Credentials(passwords)
    return None
