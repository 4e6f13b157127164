"""Where the stack of a DATA_DIR runs: a file that `tollgate run` writes, and that an operator's commands read.

`run/stack.json` holds the variables that the stack runs with, as far as commands need them; `run/credentials` holds the
passwords of its broker's users, one `NATS_<USER>_PASSWORD=<password>` a line. Both are readable by their owner alone.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import orjson

from tollgate.runtime.address import parse_address
from tollgate.runtime.errors import FatalError

VARIABLES = (
    "NATS_URL",
    "NATS_CA_FILE",
    "PAYMENT_PROCESSOR_URL_DEFAULT",
    "PAYMENT_PROCESSOR_URL_FALLBACK",
    "PAYMENT_PROCESSOR_CONTRACT_DEFAULT",
    "PAYMENT_PROCESSOR_CONTRACT_FALLBACK",
    "PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT",
    "PAYMENT_PROCESSOR_HEADER_FILE_FALLBACK",
    "PROCESSOR_TIMEOUT_SECONDS",
)
"""The variables that the file holds. A provider's credentials are not among them, only the path of their file."""
_VERSION = 1


def stack_file(data: Path) -> Path:
    """The file that exists while a stack runs on that DATA_DIR, and after one that was killed."""
    return data / "run" / "stack.json"


def credentials_file(data: Path) -> Path:
    """The file with the passwords. It stays when the stack ends, because clients may have been given them."""
    return data / "run" / "credentials"


def describe(variables: Mapping[str, str], *, has_own_broker: bool) -> str:
    """The file's text for a stack with these variables."""
    chosen = {name: variables[name] for name in VARIABLES if variables.get(name)}
    content = {"version": _VERSION, "hasOwnBroker": has_own_broker, "environment": chosen}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n"


def command_environment(user: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a command that connects to the broker as `user`.

    Variables that are set have precedence; those that are not come from a running stack. A NATS_URL without a user gets
    `user` and NATS_<USER>_PASSWORD, if that is known. Raises FatalError when a file of the stack cannot be read.
    """
    given = {name: value for name, value in environment.items() if value}
    if "NATS_URL" not in given:
        # A password that is set belongs to the broker in NATS_URL; the stack's broker has its own.
        given = {name: value for name, value in given.items() if name != _password(user)}
        given = {**_of_running_stack(Path(given.get("DATA_DIR", "./data"))), **given}
    if "NATS_URL" in given and _password(user) in given:
        given["NATS_URL"] = _with_user(given["NATS_URL"], user, given[_password(user)])
    return given


def read_passwords(text: str) -> dict[str, str]:
    """The passwords in the text of a credentials file, by variable."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _of_running_stack(data: Path) -> dict[str, str]:
    path = stack_file(data)
    try:
        content = orjson.loads(path.read_bytes())
        variables = {name: str(content["environment"][name]) for name in VARIABLES if name in content["environment"]}
        if content["hasOwnBroker"]:
            path = credentials_file(data)
            variables |= read_passwords(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise FatalError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError):
        raise FatalError(f"{path} is not as `tollgate run` writes it; start the stack again, or set NATS_URL") from None
    return variables


def _password(user: str) -> str:
    return f"NATS_{user.upper()}_PASSWORD"


def _with_user(url: str, user: str, password: str) -> str:
    """The URL with that user, unless it has a user or a token. An invalid URL is returned unchanged."""
    try:
        address = parse_address(url)
    except FatalError:
        return url
    if address.user is not None or address.token is not None:
        return url
    first, *others = address.servers
    scheme, _, where = first.partition("://")
    return ",".join([f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{where}", *others])
