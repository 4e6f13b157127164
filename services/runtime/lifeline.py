"""Ends a process with its parent, so that none is left behind however the parent ends."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Requests a signal from the kernel when the parent process ends; it survives an exec. Linux only.

    Ends this process at once when the parent is gone already.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
