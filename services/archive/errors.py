"""The error of the archive. `runtime/errors.py` shows the whole hierarchy."""

from tollgate.runtime.errors import FatalError


class ArchiveError(FatalError):
    """The archive cannot be read, written or used; the text is the one line that is printed."""
