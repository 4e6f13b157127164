"""A nats-server for one measurement, on a free port, in a temporary folder."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent
READY_SECONDS_MAX = 10.0
_CONFIGURATION = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", sync_interval: {sync} }}
"""


@contextmanager
def nats_server(sync: str = "2m") -> Iterator[tuple[str, Path]]:
    """Yields its URL and a folder for the measured program. `sync` is how often it syncs its store, or `always`."""
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as name:
        folder = Path(name)
        port = free_port()
        configuration = folder / "nats.conf"
        configuration.write_text(_CONFIGURATION.format(port=port, store=folder / "store", sync=sync))
        with (folder / "nats.log").open("wb") as output:
            server = subprocess.Popen([BIN / "nats-server", "-c", configuration], stdout=output, stderr=output)
        try:
            wait_for(port)
            yield f"nats://127.0.0.1:{port}", folder
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Waits until the port of loopback accepts connections. Raises OSError after READY_SECONDS_MAX."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
