"""supervisord, with behaviour that its configuration does not offer.

- It stops all programs when the launcher ends, and they end when it ends.
- It restarts a dead program at once: the original may take two seconds.
- A program that does not stay up is reported to the operator, and tried again every minute instead of never.

Run as `python -m tollgate.stack.supervisord <the launcher's process id> <arguments of supervisord>`.
"""

# mypy: allow-untyped-calls
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor import events
from supervisor.medusa.asyncore_25 import ExitNow
from supervisor.options import ServerOptions
from supervisor.poller import Poller
from supervisor.states import ProcessStates
from supervisor.supervisord import Supervisor

from tollgate.runtime.lifeline import die_with_parent
from tollgate.stack.tail import last_lines

_POLL_SECONDS_MAX = 1.0
_WAKE_BYTES_MAX = 4_096


class _PromptPoller(Poller):
    """Returns as soon as a signal arrives, such as that of a program that has ended. The original waits on."""

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        self._wake, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def poll(self, timeout: float) -> Any:
        # The original drops descriptors that belong to no program.
        self.register_readable(self._wake)
        readable, writable = super().poll(min(timeout, _POLL_SECONDS_MAX))
        if self._wake in readable:
            readable.remove(self._wake)
            os.read(self._wake, _WAKE_BYTES_MAX)
        return readable, writable


class _Options(ServerOptions):
    def __init__(self) -> None:
        super().__init__()
        self.poller = _PromptPoller(self)
        self.pid = os.getpid()
        # As set by the original's main(): the first run, neither after a reload nor in its own tests.
        self.first = True
        self.test = False

    def setpgrp(self) -> None:
        """Runs first in a program's process, before the exec."""
        super().setpgrp()
        # SIGKILL loses nothing: each program is built to be killed at any time.
        die_with_parent(self.pid, signal.SIGKILL)


class _Supervisor(Supervisor):
    def runforever(self) -> None:
        events.subscribe(events.ProcessStateFatalEvent, _say_gave_up)
        events.subscribe(events.Tick60Event, self._try_again)
        super().runforever()

    def _try_again(self, _event: object) -> None:
        for group in self.process_groups.values():
            for process in group.processes.values():
                if process.state == ProcessStates.FATAL:
                    process.spawn()


def _say_gave_up(event: Any) -> None:
    config = event.process.config
    last = last_lines(Path(config.stdout_logfile), 1) or ["its log is empty"]
    print(
        f"{config.name} does not stay up after {config.startretries + 1} starts in a row; "
        f"trying again every minute. {config.stdout_logfile} ends with: {last[0]}",
        file=sys.stderr,
        flush=True,
    )


def main(arguments: list[str]) -> None:
    """Runs until a signal to stop, or until the launcher ends."""
    launcher, *rest = arguments
    die_with_parent(int(launcher), signal.SIGTERM)
    options = _Options()
    options.realize(rest, doc=__doc__)
    with suppress(ExitNow):
        _Supervisor(options).main()


if __name__ == "__main__":
    main(sys.argv[1:])
