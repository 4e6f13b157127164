"""Ports for one run, reserved against other runs in parallel."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

BLOCK = 64
FIRST_PORTS = range(12_000, 20_000, BLOCK)
"""Below the system's ephemeral ports, and separate from those of the tests."""


@contextlib.contextmanager
def port_block() -> Iterator[int]:
    """The first of BLOCK consecutive free ports, reserved for this run."""
    for first in FIRST_PORTS:
        path = Path(tempfile.gettempdir()) / f"tollgate-chaos-ports-{first}.lock"
        with contextlib.suppress(OSError), path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if all(map(_is_free, range(first, first + BLOCK))):
                try:
                    yield first
                finally:
                    path.unlink(missing_ok=True)
                return
    raise OSError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
