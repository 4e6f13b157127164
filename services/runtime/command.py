"""Running one command of an operator: a bounded connection, one line for what goes wrong, and an exit status."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any, NoReturn

import click
import uvloop

from contract.timestamps import InvalidTimestampError, parse_us
from runtime.broker import Broker
from runtime.errors import BrokerError, BrokerUnavailableError, FatalError
from runtime.process import configure_logging
from runtime.read_model import ReadModelUnavailableError

CONNECT_SECONDS = 5.0
INTERRUPTED_STATUS = 130


class CommandError(Exception):
    """The command cannot do what it was asked to; the text is the one line that the operator reads."""


class Moment(click.ParamType[int]):
    """An ISO 8601 date and time, in UTC where it names no offset; microseconds since the epoch."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_us(str(value))
        except InvalidTimestampError as error:
            self.fail(f"{error} (2026-01-31T12:00:00Z)", param, ctx)


def run_command(command: Coroutine[Any, Any, int], *, failure_status: int = 1) -> NoReturn:
    """Runs the command and exits with its status, or with `failure_status` and one line on stderr. Ctrl-C ends it."""
    # What the libraries and the reconnecting would say goes into the one line, or is of no use to who waits.
    configure_logging("CRITICAL")
    try:
        status = uvloop.run(_interruptible(command))
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is still buffered goes nowhere, without a complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except (CommandError, FatalError, BrokerError, ReadModelUnavailableError, OSError) as error:
        click.echo(str(error), err=True)
        status = failure_status
    sys.exit(status)


@contextlib.asynccontextmanager
async def broker_for_command(url: str, *, name: str) -> AsyncIterator[Broker]:
    """A connection, or BrokerUnavailableError with the reason when there is none within CONNECT_SECONDS."""
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    broker = Broker(url, name=name)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await broker.__aenter__()
    except TimeoutError:
        why = broker.client.last_error
        raise BrokerUnavailableError(
            f"the broker at {broker.shown_url} cannot be reached: {why or 'no answer'}"
            " (NATS_URL names it, with the user operator)"
        ) from None
    try:
        yield broker
    finally:
        await broker.__aexit__(None, None, None)


async def _interruptible(command: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(command)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait((task,))
    return INTERRUPTED_STATUS if task.cancelled() else task.result()
