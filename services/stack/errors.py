"""Why the stack cannot start, or cannot do what was asked. `runtime/errors.py` shows the whole hierarchy."""

from tollgate.runtime.errors import TollgateError


class StackError(TollgateError):
    """The stack cannot do what it was asked to."""


class PortTakenError(StackError):
    """Somebody else listens on a port of ours, or the system does not give it to us."""


class AlreadyRunningError(StackError):
    """Another stack has this DATA_DIR."""


class NotRunningError(StackError):
    """No stack runs on this DATA_DIR."""


class BackupError(StackError):
    """A backup cannot be made, read, or put back."""


class ReplayError(StackError):
    """A stack that was made from a backup does not come up, or is not what the backup says."""
