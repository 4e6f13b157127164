"""Runs one operator command: connects within a bound, prints an error as one line, and exits with a status."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

import click
import uvloop

from tollgate.contract.timestamps import InvalidTimestampError, first_us, last_us, parse_ns
from tollgate.contract.waiting import DOUBT_SECONDS_MAX, OLDEST_SECONDS_MAX
from tollgate.messaging.connection import Broker
from tollgate.messaging.read_model_client import ReadModelUnavailableError
from tollgate.runtime.cli import Number
from tollgate.runtime.errors import BrokerError, BrokerUnavailableError, FatalError, TollgateError
from tollgate.runtime.program_log import configure_logging
from tollgate.runtime.running_stack import command_environment
from tollgate.runtime.settings import load
from tollgate.runtime.tasks import end

T = TypeVar("T")

CONNECT_SECONDS = 3.0
"""Covers a restart of the broker. After a refusal of the user there is no further try."""
INTERRUPTED_STATUS = 130


class CommandError(TollgateError):
    """The command failed; the text is its one line of output."""


class Moment(click.ParamType[int]):
    """An ISO 8601 date and time, in UTC if it has no offset, as microseconds since the epoch.

    Digits finer than a microsecond are rounded down, or up where the moment is a window's lower bound.
    """

    name = "moment"

    def __init__(self, *, is_lower_bound: bool = False) -> None:
        self._round = first_us if is_lower_bound else last_us

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else self._round(parse_ns(str(value)))
        except InvalidTimestampError as error:
            self.fail(f"{error} (2026-01-31T12:00:00Z)", param, ctx)


def waiting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options for how long payments may wait before the status is not well."""
    for name, default, what in (
        ("--doubt-seconds-max", DOUBT_SECONDS_MAX, "A doubt that is older is not well."),
        ("--oldest-seconds-max", OLDEST_SECONDS_MAX, "A payment that could be charged and waits longer is not well."),
    ):
        command = click.option(name, type=Number(min=0), default=default, show_default=True, help=what)(command)
    return command


class BrokerSettings(Protocol):
    """The settings that a command needs to connect to the broker."""

    @property
    def nats_url(self) -> str: ...

    @property
    def nats_ca_file(self) -> str: ...


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """The address of a broker that does not come from the environment."""

    nats_url: str
    nats_ca_file: str = ""


def load_for_command(declared: type[T], *, user: str = "operator") -> T:
    """The settings of a command that connects to the broker as `user`; those not set come from the running stack.

    Raises FatalError.
    """
    return load(declared, command_environment(user))


def run_command(command: Callable[[], Coroutine[Any, Any, int]], *, failure_status: int = 1) -> NoReturn:
    """Runs the command and exits with its status, or with `failure_status` and one line on stderr. Ctrl-C ends it."""
    # Records of the libraries and of reconnecting are dropped: the one line has the reason.
    configure_logging("CRITICAL")
    logging.getLogger("nats").setLevel(logging.CRITICAL + 1)
    # Messages of the log that are set aside are reported.
    logging.getLogger("tollgate.messaging.validity").setLevel(logging.ERROR)
    try:
        status = uvloop.run(_interruptible(command()))
    except BrokenPipeError:
        # The reader closed the pipe, such as `head`. Buffered output is dropped without an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except (CommandError, FatalError, BrokerError, ReadModelUnavailableError, OSError) as error:
        click.echo(str(error), err=True)
        status = failure_status
    sys.exit(status)


@contextlib.asynccontextmanager
async def broker_for_command(settings: BrokerSettings, *, name: str = "operator") -> AsyncIterator[Broker]:
    """Connects. Raises BrokerUnavailableError with the reason when there is no connection within CONNECT_SECONDS."""
    broker = Broker(settings.nats_url, name=name, ca_file=settings.nats_ca_file)
    connecting = asyncio.ensure_future(broker.__aenter__())
    refused = asyncio.ensure_future(broker.refused.wait())
    try:
        await asyncio.wait((connecting, refused), timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            raise BrokerUnavailableError(broker.why_not_connected())
        connecting.result()
        yield broker
    finally:
        for task in (connecting, refused):
            await end(task)
        await broker.__aexit__(None, None, None)


async def _interruptible(command: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(command)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait((task,))
    return INTERRUPTED_STATUS if task.cancelled() else task.result()
