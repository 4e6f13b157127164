"""A header that authenticates requests at a provider, from a setting or from a file. Its value is never shown."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tollgate.contract.events import ProviderName
from tollgate.runtime.errors import SettingError
from tollgate.runtime.settings import setting

HEADER_CHARACTERS_MAX = 8_190
"""Name and value together; common servers refuse longer lines."""
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[\x21-\x7e]+([ \t]+[\x21-\x7e]+)*)[ \t]*")
_ALLOWED = "one header, `Name: value`, in visible ASCII"
_OURS = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
"""Headers that frame or describe the request itself."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One header."""

    name: str
    value: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {self.name: self.value}


def default_header() -> Any:
    """PAYMENT_PROCESSOR_HEADER_DEFAULT, for every program that asks the providers; empty for none."""
    return _header("A header that the provider with the lower fee asks for, `Name: value`.")


def fallback_header() -> Any:
    """PAYMENT_PROCESSOR_HEADER_FALLBACK, for every program that asks the providers; empty for none."""
    return _header("A header that the provider with the higher fee asks for, `Name: value`.")


def default_header_file() -> Any:
    """PAYMENT_PROCESSOR_HEADER_FILE_DEFAULT: a file with that header as its one line; empty for none."""
    return _header_file("A file with the header for the provider with the lower fee.")


def fallback_header_file() -> Any:
    """PAYMENT_PROCESSOR_HEADER_FILE_FALLBACK: a file with that header as its one line; empty for none."""
    return _header_file("A file with the header for the provider with the higher fee.")


def either(header: Credential | None, in_file: Credential | None, provider: ProviderName) -> Credential | None:
    """The header that is set. Raises SettingError when both are."""
    if header is not None and in_file is not None:
        of = provider.upper()
        raise SettingError(f"PAYMENT_PROCESSOR_HEADER_{of} and PAYMENT_PROCESSOR_HEADER_FILE_{of} exclude each other")
    return header or in_file


def _header(what: str) -> Any:
    return setting("", _credential_from, _ALLOWED, what=what, is_secret=True)


def _header_file(what: str) -> Any:
    return setting("", _credential_in, f"a file that holds {_ALLOWED}", what=what)


def _credential_from(text: str) -> Credential | None:
    if not text:
        return None
    header = _HEADER.fullmatch(text)
    if header is None or len(text) > HEADER_CHARACTERS_MAX or header["name"].lower() in _OURS:
        raise ValueError
    return Credential(header["name"], header["value"])


def _credential_in(path: str) -> Credential | None:
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            content = file.read(HEADER_CHARACTERS_MAX + 2)
    except OSError:
        raise ValueError from None
    found = _credential_from(content.decode("latin-1").removesuffix("\n").removesuffix("\r"))
    if found is None:
        raise ValueError
    return found
