"""The lock that allows one stack on a DATA_DIR."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tollgate.stack.errors import AlreadyRunningError
from tollgate.stack.settings import Settings


@contextmanager
def data_dir_lock(settings: Settings) -> Iterator[int]:
    """Holds the lock, and yields its file descriptor; a process that inherits it holds the lock, too.

    Raises AlreadyRunningError when another process holds it.
    """
    path = settings.run / "lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(
                f"a stack already runs on {settings.data}{_holder(path)}: stop it, or set DATA_DIR to another place"
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield file
    finally:
        os.close(file)


def _holder(path: Path) -> str:
    pid = path.read_text().strip()
    # Its launcher may be gone, and the rest still be stopping.
    return f" (process {pid})" if pid and Path(f"/proc/{pid}").exists() else " (it is stopping)"
