"""supervisord, with what Tollgate needs beyond its configuration.

- It stops everything when the launcher is gone, and its programs are gone when it is.
- It looks after them ten times a second: the original may take two seconds to start a dead program again.
- A program that does not stay up is named to the operator, and tried again every minute instead of never.

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

from tollgate.stack.lifeline import die_with_parent
from tollgate.stack.tail import last_lines

_POLL_SECONDS_MAX = 0.1


class _PromptPoller(Poller):
    def poll(self, timeout: float) -> Any:
        return super().poll(min(timeout, _POLL_SECONDS_MAX))


class _Options(ServerOptions):
    def __init__(self) -> None:
        super().__init__()
        self.poller = _PromptPoller(self)
        self.pid = os.getpid()
        # What the original's main() sets: this is the first run, not one after a reload, and not one of its own tests.
        self.first = True
        self.test = False

    def setpgrp(self) -> None:
        """The first thing that a program's process does, before it becomes the program."""
        super().setpgrp()
        # Nothing is lost by it: each of them is made to be killed at any time.
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
    """Runs until told to stop, or until the launcher is gone."""
    launcher, *rest = arguments
    die_with_parent(int(launcher), signal.SIGTERM)
    options = _Options()
    options.realize(rest, doc=__doc__)
    with suppress(ExitNow):
        _Supervisor(options).main()


if __name__ == "__main__":
    main(sys.argv[1:])
