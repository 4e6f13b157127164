"""What keeps a stack from starting, or from being asked.

StackError                the message is the one line a person sees; the exit code is 1
  ├─ PortTakenError       somebody else listens where a program of ours would
  ├─ AlreadyRunningError  another stack has this DATA_DIR
  ├─ NotRunningError      there is no stack to ask
  ├─ BackupError          a backup cannot be made, read or put back
  └─ ReplayError          a stack made from a backup is not what the backup says

A setting that cannot be used is a SettingError of `runtime.errors`.
"""


class StackError(Exception):
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
