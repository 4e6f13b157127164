"""Starts a stack, waits until it is ready, and stops it."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tollgate.console.settings import Settings as ConsoleSettings
from tollgate.gateway.settings import Settings as GatewaySettings
from tollgate.launcher import banner
from tollgate.processor.settings import Settings as ProcessorSettings
from tollgate.projector.settings import Settings as ProjectorSettings
from tollgate.runtime.errors import TollgateError
from tollgate.runtime.running_stack import describe, stack_file
from tollgate.runtime.settings import load
from tollgate.stack.credentials import ensure_credentials
from tollgate.stack.errors import NotRunningError, StackError
from tollgate.stack.files import write_private
from tollgate.stack.lock import data_dir_lock
from tollgate.stack.ports import check_distinct, check_free, needed_ports
from tollgate.stack.preconditions import check_machine, make_private
from tollgate.stack.programs import Group, choose_programs, program_names, shared_environment
from tollgate.stack.settings import Settings
from tollgate.stack.supervision import State, ask_states, control_socket, render_supervisor_config
from tollgate.stack.tail import last_lines

_ASK_EVERY_SECONDS = 0.1
_READY_IN_A_ROW = 8
"""Several answers: the edge asks either gateway, and one being ready does not imply the other is."""
_ANSWER_TIMEOUT_SECONDS = 2.0
_FIRST_REPORT_SECONDS = 10.0
"""A start that takes longer prints the states of the programs."""
_STOP_SECONDS_MAX = 9.5
"""The bounds of the groups add up to eight seconds; what still runs then is killed."""
_LOG_LINES = 8


class _StopRequestedError(TollgateError):
    """A signal requested the launcher to stop."""


def run_stack(settings: Settings, echo: Callable[[str], None]) -> int:
    """Runs the stack until a signal. Returns the exit status. Raises StackError when it cannot start."""
    ports = needed_ports(settings)
    check_distinct(ports)
    _check_services(settings)
    # Files of all programs are readable only by their owner.
    os.umask(0o077)
    check_machine(settings)
    make_private(control_socket(settings).parent)
    with data_dir_lock(settings) as lock:
        check_free(ports)
        groups = choose_programs(settings, ensure_credentials(settings) if settings.runs_broker else None)
        _check_installed(settings, groups)
        # The file holds the password of each service.
        write_private(settings.run / "supervisord.conf", render_supervisor_config(settings, groups))
        with _signals_raise(), _found_by_commands(settings):
            try:
                code = _supervise(settings, groups, lock, echo)
            except _StopRequestedError:
                return 0
    raise StackError(f"the supervisor ended with {code}; see {settings.logs / 'supervisord.log'}")


@contextmanager
def _found_by_commands(settings: Settings) -> Iterator[None]:
    """Keeps the addresses of this stack in the DATA_DIR while it runs, for the operator's commands."""
    path = stack_file(settings.data)
    variables = {**os.environ, **shared_environment(settings)}
    write_private(path, describe(variables, has_own_broker=settings.runs_broker))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _supervise(settings: Settings, groups: list[Group], lock: int, echo: Callable[[str], None]) -> int:
    """Runs the supervisor until it ends by itself, which is an error. Returns its exit status."""
    supervisor = _start(settings, lock)
    try:
        echo(banner.starting(settings, program_names(groups)))
        _wait_until_ready(settings, supervisor, echo)
        return supervisor.wait()
    except _StopRequestedError:
        echo("Stopping.")
        raise
    finally:
        _stop(supervisor)


def _check_services(settings: Settings) -> None:
    """Raises SettingError for a setting that a service would refuse: it would be restarted for ever."""
    environment = {**os.environ, **shared_environment(settings)}
    for declared in (GatewaySettings, ProcessorSettings, ProjectorSettings, ConsoleSettings):
        load(declared, environment)


def _check_installed(settings: Settings, groups: list[Group]) -> None:
    for group in groups:
        for program in group.programs:
            if not os.access(program.command[0], os.X_OK):
                raise StackError(f"{program.command[0]} is not there: run `make install`")
    if not (settings.project / "nats.conf").is_file():
        raise StackError(f"{settings.project} has no nats.conf: `tollgate run` needs a checkout (`make install`)")


def _start(settings: Settings, lock: int) -> subprocess.Popen[bytes]:
    config = str(settings.run / "supervisord.conf")
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "tollgate.stack.supervisord", str(os.getpid()), "-n", "-c", config],
        env={**os.environ, **shared_environment(settings)},
        # A new session: Ctrl-C in the terminal reaches only the launcher, which stops the programs in order.
        start_new_session=True,
        pass_fds=(lock,),
    )


def _wait_until_ready(settings: Settings, supervisor: subprocess.Popen[bytes], echo: Callable[[str], None]) -> None:
    """Returns when the edge is ready or the supervisor has ended. Raises StackError when a program is not up in time.

    While all programs run and wait, for an external broker or for a long log to be read, this waits, too.
    """
    began = time.monotonic()
    words = iter((_FIRST_REPORT_SECONDS, settings.ready_seconds, float("inf")))
    next_word = next(words)
    while supervisor.poll() is None:
        answer = next(filter(None, (ask_ready(settings) for _ in range(_READY_IN_A_ROW))), None)
        seconds = time.monotonic() - began
        if answer is None:
            has_uuidgen = shutil.which("uuidgen") is not None
            echo(banner.ready(settings, seconds=seconds, has_uuidgen=has_uuidgen))
            return
        if seconds >= next_word:
            next_word = next(words)
            states = _states(settings)
            message = banner.not_ready(settings, states, answer, seconds=seconds)
            excerpts = [
                banner.log_excerpt(one.name, last_lines(settings.logs / f"{one.name}.log", _LOG_LINES))
                for one in states
                if one.state != "RUNNING"
            ]
            if excerpts and seconds >= settings.ready_seconds:
                raise StackError("\n".join([message, *excerpts]))
            echo(message)
        time.sleep(_ASK_EVERY_SECONDS)


def ask_ready(settings: Settings) -> str | None:
    """None when the edge is ready, else its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.edge_port, timeout=_ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"gives no answer ({error or type(error).__name__})"
    finally:
        connection.close()
    if response.status in {200, 204}:
        return None
    return f"answers {response.status} {body}".rstrip()


def _states(settings: Settings) -> list[State]:
    try:
        return ask_states(settings)
    except NotRunningError:
        return []


def _stop(supervisor: subprocess.Popen[bytes]) -> None:
    if supervisor.poll() is not None:
        return
    # A second Ctrl-C is ignored: the stop is bounded.
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    supervisor.terminate()
    try:
        supervisor.wait(_STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        # Its programs die with it.
        supervisor.kill()
        supervisor.wait()


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _signals_raise() -> Iterator[None]:
    def stop(_number: int, _frame: object) -> None:
        raise _StopRequestedError

    # Under nohup it keeps running when the terminal is closed. Shell scripts start their jobs with SIGINT ignored; here
    # SIGINT is handled all the same.
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [number for number in _STOP_SIGNALS if number != signal.SIGHUP or not is_nohup]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
