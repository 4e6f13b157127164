"""Errors of the commands on the log. `runtime/errors.py` shows the whole hierarchy."""

from tollgate.stack.errors import StackError


class BackupError(StackError):
    """A backup cannot be made, read, or restored."""


class ReplayError(StackError):
    """A stack started from a backup does not become ready, or differs from the backup."""
