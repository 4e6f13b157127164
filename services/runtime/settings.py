"""Declares, reads and checks settings from the environment.

A program declares its settings as a class of `environ.config`, with the functions below as its variables, and reads
them with `load`. A value that cannot be used is one line: the variable, its value, and what is allowed.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args
from urllib.parse import urlsplit

import attrs
import environ

from tollgate.runtime.address import parse_address
from tollgate.runtime.errors import FatalError, SettingError
from tollgate.runtime.log_formats import LogFormat
from tollgate.runtime.program_log import LEVELS

T = TypeVar("T")
Convert = Callable[[str], T]
"""Converts the variable's text to its value. Raises ValueError for a text that is not allowed."""

PORT_MAX = 65_535
SOCKET_PATH_BYTES_MAX = 100
"""The system's limit for a unix socket is 104 to 108 bytes, by system."""
SECRET = "***"  # noqa: S105 - what stands in a line in place of one
_WHOLE_NUMBER = re.compile(r"-?\d{1,19}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,19}(\.\d{1,19})?", re.ASCII)
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")
# The names of OpenTelemetry's samplers. No parent comes from outside, so those that follow one are the same.
_RATIO_SAMPLERS = ("traceidratio", "parentbased_traceidratio")
_ALWAYS_SAMPLERS = ("always_on", "parentbased_always_on")
_NEVER_SAMPLERS = ("always_off", "parentbased_always_off")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]{0,8190}[!-~])?")


def load(declared: type[T], environment: Mapping[str, str] = os.environ) -> T:
    """The settings from the environment; an empty variable counts as not set.

    Raises SettingError for the first value that cannot be used.
    """
    settings: T = environ.to_config(declared, environ={name: value for name, value in environment.items() if value})
    return settings


@dataclass(frozen=True, slots=True)
class Declaration:
    """One variable as its class declares it; `allowed` completes "it must be". The value of a secret is never shown."""

    convert: Convert[object]
    default: object
    allowed: str
    what: str
    is_secret: bool

    def __call__(self, value: object, field: "attrs.Attribute[object]") -> object:
        """The value of a text. Raises SettingError for one that is not allowed."""
        text = str(value)
        try:
            return self.convert(text)
        except ValueError:
            shown = SECRET if self.is_secret or "@" in text else repr(text)
            raise SettingError(f"{field.name.upper()} is {shown}: it must be {self.allowed}") from None


def declarations(declared: type[Any]) -> dict[str, Declaration]:
    """The variables of a class of settings, by name, in the order of the class."""
    fields = attrs.fields(declared)
    return {field.name.upper(): field.converter.converter for field in fields}


def setting(default: object, convert: Convert[object], allowed: str, *, what: str, is_secret: bool = False) -> Any:
    """A variable under the attribute's name in capitals. `allowed` completes "it must be"; a secret is never shown."""
    declaration = Declaration(convert, default, allowed, what, is_secret)
    converter: Any = attrs.Converter(declaration, takes_field=True)
    return environ.var(default, converter=converter, help=what)


def whole_number(default: int, *, at_least: int, at_most: int, what: str) -> Any:
    """A whole number within bounds, both of which are allowed."""

    def convert(text: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(text) or not at_least <= int(text) <= at_most:
            raise ValueError(text)
        return int(text)

    return setting(default, convert, f"a whole number from {at_least} to {at_most}", what=what)


def seconds(default: float, *, at_least: float, at_most: float, what: str) -> Any:
    """A time in seconds within bounds, both of which are allowed."""

    def convert(text: str) -> float:
        if not _DECIMAL.fullmatch(text) or not at_least <= float(text) <= at_most:
            raise ValueError(text)
        return float(text)

    return setting(default, convert, f"a number of seconds from {at_least:g} to {at_most:g}", what=what)


def optional_seconds(*, at_least: float, at_most: float, what: str) -> Any:
    """A time in seconds within bounds, both of which are allowed; None if it is not set."""

    def convert(text: str) -> float | None:
        if text and (not _DECIMAL.fullmatch(text) or not at_least <= float(text) <= at_most):
            raise ValueError(text)
        return float(text) if text else None

    return setting("", convert, f"a number of seconds from {at_least:g} to {at_most:g}", what=what)


def share(default: float, *, what: str) -> Any:
    """A number from 0 to 1."""

    def convert(text: str) -> float:
        if not _DECIMAL.fullmatch(text) or not 0 <= float(text) <= 1:
            raise ValueError(text)
        return float(text)

    return setting(default, convert, "a number from 0 to 1", what=what)


def choice(default: str, allowed: Sequence[str], *, what: str) -> Any:
    """One of some texts."""

    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return setting(default, convert, ", ".join(f"`{one}`" for one in allowed), what=what)


def port(default: int, *, what: str) -> Any:
    """A TCP port."""
    return whole_number(default, at_least=1, at_most=PORT_MAX, what=what)


def switch(default: bool, *, what: str) -> Any:
    """True or false. Any other text is refused, so that a typing error switches nothing."""

    def convert(text: str) -> bool:
        choice = text.strip().lower()
        if choice not in _TRUE + _FALSE:
            raise ValueError(text)
        return choice in _TRUE

    return setting(default, convert, "true or false", what=what)


def matching(default: str, pattern: re.Pattern[str], allowed: str, *, what: str, is_secret: bool = False) -> Any:
    """A text that matches the whole pattern."""

    def convert(given: str) -> str:
        if given and not pattern.fullmatch(given):
            raise ValueError(given)
        return given

    return setting(default, convert, allowed, what=what, is_secret=is_secret)


def name(default: str, *, what: str) -> Any:
    """A name of up to 64 letters, digits, dots, underscores and hyphens."""
    return matching(default, _NAME, "1 to 64 letters, digits, dots, underscores or hyphens", what=what)


def host(default: str, *, what: str) -> Any:
    """A host name or an IP address, without a port."""
    return matching(default, _HOST, "a host name or an IP address", what=what)


def header_value(default: str, *, what: str) -> Any:
    """A secret that goes into an HTTP header."""
    return matching(default, _HEADER_VALUE, "printable ASCII without a space at either end", what=what, is_secret=True)


def _web_address(text: str) -> str:
    if not text:
        return text
    parts = urlsplit(text)
    is_plain = text.isascii() and text.isprintable() and not (" " in text or parts.query or parts.fragment)
    # Reading `port` raises ValueError for one that is no number, or too large.
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0 or not is_plain:
        raise ValueError(text)
    return text.rstrip("/")


def web_address(default: str, *, what: str) -> Any:
    """The base address of an HTTP service, without a slash at its end; empty where that is the default."""
    return setting(default, _web_address, "an address such as http://host:8080", what=what)


def file(default: str, *, what: str) -> Any:
    """A file that exists; empty for none."""

    def convert(given: str) -> str:
        if given and not (given.isprintable() and Path(given).is_file()):
            raise ValueError(given)
        return given

    return setting(default, convert, "a file that exists", what=what)


def new_file(default: str, *, what: str) -> Any:
    """A file that may be missing, in a folder that exists; empty for none."""

    def convert(given: str) -> str:
        if given and not (given.isprintable() and Path(given).parent.is_dir() and not Path(given).is_dir()):
            raise ValueError(given)
        return given

    return setting(default, convert, "a file in a folder that exists", what=what)


def socket(default: str, *, what: str) -> Any:
    """The path for a unix socket; empty for none."""

    def convert(given: str) -> str:
        is_usable = given.isprintable() and len(os.fsencode(given)) <= SOCKET_PATH_BYTES_MAX
        if given and not (is_usable and Path(given).parent.is_dir()):
            raise ValueError(given)
        return given

    allowed = f"a path of at most {SOCKET_PATH_BYTES_MAX} bytes in a folder that exists"
    return setting(default, convert, allowed, what=what)


def folder(default: str, *, what: str) -> Any:
    """A folder, which may be missing."""

    def convert(given: str) -> Path:
        if not given.isprintable() or (Path(given).exists() and not Path(given).is_dir()):
            raise ValueError(given)
        return Path(given)

    return setting(default, convert, "a folder, or a path where one can be made", what=what)


def optional_folder(*, what: str) -> Any:
    """A folder, which may be missing; None if it is not set."""

    def convert(given: str) -> Path | None:
        if not given:
            return None
        if not given.isprintable() or (Path(given).exists() and not Path(given).is_dir()):
            raise ValueError(given)
        return Path(given)

    return setting("", convert, "a folder, or a path where one can be made", what=what)


def archive_dir() -> Any:
    """ARCHIVE_DIR, for the projector and for the commands that read the log."""
    return optional_folder(what="The folder of the log's archive; none if empty.")


def broker_address(default: str, *, what: str) -> Any:
    """NATS_URL; empty where that is the default. Its value is never shown: it may hold a password."""

    def convert(given: str) -> str:
        try:
            return given if not given or parse_address(given) else ""
        except FatalError:
            raise ValueError(given) from None

    return setting(default, convert, "of the form nats://user:password@host:port", what=what, is_secret=True)


def default_provider_url() -> Any:
    """PAYMENT_PROCESSOR_URL_DEFAULT, for every program that asks the providers."""
    return web_address("http://127.0.0.1:8001", what="The base address of the provider with the lower fee.")


def fallback_provider_url() -> Any:
    """PAYMENT_PROCESSOR_URL_FALLBACK, for every program that asks the providers."""
    return web_address("http://127.0.0.1:8002", what="The base address of the provider with the higher fee.")


def known_ids_filter_mb() -> Any:
    """The size of the filter of ids, the same in gateways and projector."""
    return whole_number(
        4,
        at_least=1,
        at_most=512,
        what="MB of the filter by which gateways tell new payments from possible repeats.",
    )


def log_duplicate_window_seconds() -> Any:
    """LOG_DUPLICATE_WINDOW_SECONDS, with which the projector creates the log."""
    return whole_number(
        30,
        at_least=1,
        at_most=86_400,
        what="How long the broker remembers message ids, in seconds, at about 200 bytes of its memory for each id.",
    )


def _log_level() -> Any:
    def convert(text: str) -> str:
        if text.upper() not in LEVELS:
            raise ValueError(text)
        return text.upper()

    allowed = "DEBUG, INFO, WARNING or ERROR"
    return setting("INFO", convert, allowed, what="The least important lines of the program log that are written.")


def _log_format() -> Any:
    def convert(text: str) -> str:
        if text not in get_args(LogFormat):
            raise ValueError(text)
        return text

    return setting("text", convert, "text or json", what="The form of the program log: for people, or JSON lines.")


@environ.config(prefix="")
class LogSettings:
    """The settings of every program that has a program log."""

    log_level: str = _log_level()
    log_format: LogFormat = _log_format()


@environ.config(prefix="")
class ServiceSettings(LogSettings):
    """The settings of every service."""

    nats_url: str = broker_address("nats://127.0.0.1:4222", what="The broker, with user and password.")
    nats_ca_file: str = file(
        "", what="The authority that signed the broker's certificate; the system's authorities if empty."
    )
    log_missing_accepted: int = whole_number(
        0,
        at_least=0,
        at_most=2**53,
        what="How many messages of a damaged log may be missing; with more, nothing is accepted or charged.",
    )
    heartbeat_file: str = new_file(
        "", what="A file that is touched every 2 s while the service is well (a processor: and its clock is right)."
    )
    metrics_host: str = host("127.0.0.1", what="The address on which `/metrics` is served.")
    metrics_port: int = whole_number(
        0, at_least=0, at_most=PORT_MAX, what="The port on which `/metrics` is served for Prometheus; 0 for none."
    )
    otel_exporter_otlp_endpoint: str = web_address(
        "", what="The collector for traces, without the path `/v1/traces`; none if empty (docs/how-to/traces.md)."
    )
    otel_exporter_otlp_traces_endpoint: str = web_address("", what="The same with its whole path; takes precedence.")
    otel_exporter_otlp_protocol: str = choice("http/protobuf", ("http/protobuf",), what="How spans are sent.")
    otel_traces_sampler: str = choice(
        "traceidratio",
        (*_RATIO_SAMPLERS, *_ALWAYS_SAMPLERS, *_NEVER_SAMPLERS),
        what="Which payments are traced; all programs need the same.",
    )
    otel_traces_sampler_arg: float = share(0.01, what="The share of the payments that `traceidratio` traces.")
    otel_service_name: str = name("", what="The program's name in its spans; if empty, `tollgate-` and the program.")
    otel_sdk_disabled: bool = switch(False, what="Switches traces off whatever else is set.")

    @property
    def traces_endpoint(self) -> str | None:
        """Where spans are sent; None while traces are off."""
        if self.otel_sdk_disabled:
            return None
        if self.otel_exporter_otlp_traces_endpoint:
            return self.otel_exporter_otlp_traces_endpoint
        return f"{self.otel_exporter_otlp_endpoint}/v1/traces" if self.otel_exporter_otlp_endpoint else None

    @property
    def traces_ratio(self) -> float:
        """The share of the payments that is traced."""
        if self.otel_traces_sampler in _NEVER_SAMPLERS:
            return 0.0
        return 1.0 if self.otel_traces_sampler in _ALWAYS_SAMPLERS else self.otel_traces_sampler_arg
