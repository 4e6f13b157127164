"""The program log of a process: its form, its level, and what of the interpreter goes into it.

SIGUSR1 makes it more detailed by one level, SIGUSR2 less (docs/how-to/logs.md).
"""

import asyncio
import logging
import signal
import sys
import threading
from types import TracebackType

from tollgate.runtime.folded_lines import FoldingHandler
from tollgate.runtime.log_fields import about
from tollgate.runtime.log_formats import JsonFormatter, LogFormat, TextFormatter

logger = logging.getLogger(__name__)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
"""Most detailed first."""
STEPS = {signal.SIGUSR1: -1, signal.SIGUSR2: 1}
_OURS = logging.getLogger("tollgate")


def configure_logging(
    level: str = "INFO", log_format: LogFormat = "text", *, program: str = "", instance: str = ""
) -> None:
    """Writes every record to stderr, ours and those of libraries, in one form, repeated ones folded."""
    handler = FoldingHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(program, instance) if log_format == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    set_level(level)


def set_level(level: str) -> None:
    """Sets the level. Libraries log nothing below INFO: nobody has checked what of a request they would show."""
    _OURS.setLevel(level)
    logging.getLogger().setLevel(max(_OURS.level, logging.INFO))


def log_uncaught_exceptions() -> None:
    """From now on an exception that nobody catches is a record like any other."""

    def in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _uncaught(kind, error, trace, "")

    def in_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            name = found.thread.name if found.thread is not None else "a thread"
            _uncaught(found.exc_type, found.exc_value, found.exc_traceback, f" in {name}")

    def while_ignored(found: "sys.UnraisableHookArgs") -> None:
        if found.exc_value is not None:
            place = f"in {found.object!r}"
            # Python 3.14 names a finaliser in this text, and has no object.
            if found.object is None and found.err_msg:
                place = found.err_msg.removeprefix("Exception ignored ")
            _uncaught(found.exc_type, found.exc_value, found.exc_traceback, f", ignored {place}")

    sys.excepthook = in_main
    threading.excepthook = in_thread
    sys.unraisablehook = while_ignored


def ignore_level_signals() -> None:
    """Until `follow_level_signals`: without a handler, each would end the program."""
    for number in STEPS:
        signal.signal(number, signal.SIG_IGN)


def follow_level_signals(loop: asyncio.AbstractEventLoop) -> None:
    """Changes the level by signals. The loop calls between two steps, so no line is cut in two."""
    for number in STEPS:
        loop.add_signal_handler(number, step_level, number)


def step_level(number: signal.Signals) -> None:
    """Changes the level by one, up to the ends of LEVELS, and logs it at any level."""
    before = LEVELS.index(logging.getLevelName(_OURS.level))
    after = min(max(before + STEPS[number], 0), len(LEVELS) - 1)
    set_level(LEVELS[after])
    logger.log(
        max(_OURS.level, logging.INFO),
        "the level of this program log is now %s (%s)",
        *(LEVELS[after], number.name),
        extra=about(event="level_changed", reason=number.name),
    )


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None, where: str) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.critical(
        "uncaught exception%s: %s: %s",
        *(where, kind.__name__, error),
        exc_info=(kind, error, trace),
        extra=about(event="uncaught_exception"),
    )
