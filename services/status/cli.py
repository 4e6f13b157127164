"""The command `tollgate status`, and its composition root."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

import click
import orjson

from tollgate.console.collector import WATCHED_SECONDS
from tollgate.console.live import Recent, sample_of
from tollgate.console.programs import KnownPrograms
from tollgate.contract.read_model_health import Bounds
from tollgate.messaging.gathering import ask_statistics
from tollgate.messaging.operator_command import (
    CommandError,
    broker_for_command,
    load_for_command,
    run_command,
    waiting_options,
)
from tollgate.runtime.cli import Command, Number
from tollgate.runtime.errors import BrokerError
from tollgate.stack.errors import NotRunningError
from tollgate.stack.settings import Environment, read_settings
from tollgate.status.answers import Answers, ProgramProcess
from tollgate.status.questions import Questions
from tollgate.status.screen import screen
from tollgate.status.view import view_of

CANNOT_ASK_STATUS = 2


@dataclass(frozen=True, slots=True)
class Output:
    """How often, and in which form."""

    is_repeated: bool
    as_json: bool

    def show(self, view: dict[str, object]) -> None:
        if self.as_json:
            click.echo(orjson.dumps(view, option=0 if self.is_repeated else orjson.OPT_INDENT_2))
            return
        if self.is_repeated:
            # Only a terminal is cleared.
            click.clear()
        click.echo(screen(view))


@click.command(cls=Command)
@click.option("--watch", "is_repeated", is_flag=True, help="Show it again every second until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --watch, one object a line.")
@click.option(
    "--lag-seconds-max",
    type=Number(min=0),
    default=Bounds().lag_seconds_max,
    show_default=True,
    help="A read model that is further behind is a fault.",
)
@waiting_options
def status(*, is_repeated: bool, as_json: bool, **bounds: float) -> None:
    """Shows on one screen whether money flows, where to, and what waits; faults first.

    Beside `tollgate run` also the state of each program that it started. Exits with 0 when all is fine, 1 when
    something is wrong, and 2 when the broker cannot be asked.
    """
    run_command(lambda: _show(Output(is_repeated, as_json), Bounds(**bounds)), failure_status=CANNOT_ASK_STATUS)


async def _show(output: Output, bounds: Bounds) -> int:
    address = load_for_command(Environment)
    if not address.nats_url:
        raise CommandError(f"no stack runs on {address.data_dir.absolute()}, and NATS_URL names no broker elsewhere")
    try:
        async with broker_for_command(address) as broker:
            return await _ask(Questions(broker, lambda: ask_statistics(broker), _processes), output, bounds)
    except BrokerError as error:
        faults = [one.fault for one in _processes() if one.fault is not None]
        raise CommandError("; ".join([str(error), *faults])) from None


async def _ask(questions: Questions, output: Output, bounds: Bounds) -> int:
    """Shows the answers; a first set is only for the rates of the second."""
    recent, programs = Recent(), KnownPrograms()
    recent.add(sample_of((await questions.ask()).observation))
    while True:
        await asyncio.sleep(WATCHED_SECONDS)
        answers = await questions.ask()
        recent.add(sample_of(answers.observation))
        view = view_of(answers, recent, programs, bounds)
        output.show(view)
        if not output.is_repeated:
            return _exit_status(answers, is_healthy=view["healthy"])


def _exit_status(answers: Answers, *, is_healthy: bool) -> int:
    if answers.observation.log_end is None:
        return CANNOT_ASK_STATUS
    return 0 if is_healthy else 1


def _processes() -> Sequence[ProgramProcess]:
    """The programs of the stack on DATA_DIR; none where NATS_URL names a broker elsewhere, or no stack runs."""
    if os.environ.get("NATS_URL"):
        return ()
    try:
        # Only the installation of `make run` has the supervisor's library.
        from tollgate.stack.supervision import ask_states  # noqa: PLC0415
    except ModuleNotFoundError:
        return ()
    try:
        states = ask_states(read_settings(dict(os.environ)))
    except NotRunningError:
        return ()
    return [ProgramProcess(one.name, one.state, one.description) for one in states]
