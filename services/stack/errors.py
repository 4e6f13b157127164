"""Errors of the stack's commands. `runtime/errors.py` shows the whole hierarchy."""

from tollgate.runtime.errors import TollgateError


class StackError(TollgateError):
    """A command of the stack fails."""


class PortTakenError(StackError):
    """A needed port is in use, or the system refuses it."""


class AlreadyRunningError(StackError):
    """Another stack runs on this DATA_DIR."""


class NotRunningError(StackError):
    """No stack runs on this DATA_DIR."""
