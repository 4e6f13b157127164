"""Starts the broker of a DATA_DIR alone, for work on a log that is not in use."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial

from tollgate.runtime.lifeline import die_with_parent
from tollgate.stack.broker import broker_arguments, broker_environment, store_environment
from tollgate.stack.credentials import ensure_credentials
from tollgate.stack.errors import StackError
from tollgate.stack.lock import data_dir_lock
from tollgate.stack.ports import check_free, needed_ports
from tollgate.stack.preconditions import check_machine
from tollgate.stack.settings import Settings
from tollgate.stack.tail import last_lines

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.05


@contextlib.contextmanager
def broker_alone(settings: Settings) -> Iterator[str]:
    """Runs the broker; yields the operator's URL. Raises StackError, also when a stack runs on the DATA_DIR."""
    check_machine(settings)
    log = settings.logs / "nats-server.log"
    with data_dir_lock(settings), log.open("ab") as output:
        check_free([port for port in needed_ports(settings) if port.program == "nats-server"])
        credentials = ensure_credentials(settings)
        program = settings.programs / "nats-server"
        if not os.access(program, os.X_OK):
            raise StackError(f"{program} is not installed: use a checkout with `make install`")
        process = subprocess.Popen(  # noqa: S603
            [str(program), *broker_arguments(settings)],
            env={**os.environ, **store_environment(settings), **broker_environment(settings, credentials)},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509 - two system calls
        )
        try:
            _wait_until_listening(settings, process)
            yield credentials.url(settings, "operator")
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_listening(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", settings.nats_port), timeout=1):
            return
        time.sleep(_POLL_SECONDS)
    last = last_lines(settings.logs / "nats-server.log", 1) or ["its log is empty"]
    raise StackError(f"nats-server does not start: {last[0]}")
