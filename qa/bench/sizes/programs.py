"""The programs of a stack on a long log, each a process of its own, so that each can be started and measured alone."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qa.bench.server import BIN

_CONFIGURATION = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}", sync_interval: 2m, max_file_store: 200GB }}
"""
POLL_SECONDS = 0.02
BROKER_SECONDS_MAX = 1_800.0
"""After a kill it reads its whole store before it takes connections."""


class NotReadyError(Exception):
    """A program did not become ready in time, or ended; the text is its output."""


class Measured:
    """One program, started and ended by the caller. Its output goes to `<name>.log` in `folder`."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = [str(BIN / command[0]), *command[1:]]
        self._environment = {**os.environ, **environment}
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )

    def ready_seconds(self, is_ready: Callable[[], bool], *, seconds_max: float) -> float:
        """Starts it; returns after how many seconds it was ready. Raises NotReadyError."""
        began = time.monotonic()
        self.start()
        self.wait_until(is_ready, seconds_max=seconds_max)
        return time.monotonic() - began

    def wait_until(self, is_so: Callable[[], bool], *, seconds_max: float) -> None:
        """Raises NotReadyError after `seconds_max`, or when the program has ended."""
        deadline = time.monotonic() + seconds_max
        while not is_so():
            self.check()
            if time.monotonic() > deadline:
                raise NotReadyError(f"{self.name}: {self.log.read_text()[-2_000:]}")
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Raises NotReadyError if it has ended."""
        if not self.is_running:
            raise NotReadyError(f"{self.name}: {self.log.read_text()[-2_000:]}")

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def own_mb(self) -> float:
        """Its memory without the pages of files, as a container's limit counts it; 0 when it has ended."""
        assert self._process is not None, "not started"
        try:
            with Path(f"/proc/{self._process.pid}/status").open() as status:
                return next((int(line.split()[1]) / 1e3 for line in status if line.startswith("RssAnon:")), 0.0)
        except (FileNotFoundError, ProcessLookupError):
            return 0.0

    def cpu_seconds(self) -> float:
        """User and system time since it was started; 0 when it has ended."""
        assert self._process is not None, "not started"
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def run(self) -> tuple[float, float]:
        """Runs it to its end. Returns the seconds and the most memory that it had. Raises NotReadyError."""
        began, most = time.monotonic(), 0.0
        self.start()
        assert self._process is not None
        while self._process.poll() is None:
            most = max(most, self.own_mb())
            time.sleep(POLL_SECONDS)
        if self._process.returncode:
            raise NotReadyError(f"{self.name}: {self.log.read_text()[-2_000:]}")
        return time.monotonic() - began, most

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Machine:
    """All programs on the log in `folder`, with four ports from `first_port` on.

    With `forgets_all` the processor's filter of ended payments contains every id.
    """

    def __init__(self, folder: Path, first_port: int, *, filter_mb: int, forgets_all: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.nats_port, self.gateway_port = first_port, first_port + 1
        self.url = f"nats://127.0.0.1:{self.nats_port}"
        configuration = folder / "nats.conf"
        configuration.write_text(_CONFIGURATION.format(port=self.nats_port, store=folder / "store"))
        self.provider_ports = {"default": first_port + 2, "fallback": first_port + 3}
        environment = {
            "NATS_URL": self.url,
            # As `make run` does.
            "GOMEMLIMIT": "64MiB",
            "DATA_DIR": str(folder),
            "KNOWN_IDS_FILTER_MB": str(filter_mb),
            "GATEWAY_PORT": str(self.gateway_port),
            **{
                f"PAYMENT_PROCESSOR_URL_{name.upper()}": f"http://127.0.0.1:{port}"
                for name, port in self.provider_ports.items()
            },
        }

        def program(name: str, *command: str) -> Measured:
            return Measured(name, command, folder, environment)

        self.broker = program("nats-server", "nats-server", "-c", str(configuration))
        self.projector = program("projector", "projector", "run")
        self.rebuild = program("rebuild", "projector", "rebuild")
        self.query = program("query", "projector", "query", "SELECT count(*) FROM settled_payments")
        self.gateway = program("gateway", "gateway", "run")
        processor = ("python", "-m", "qa.bench.sizes.doubtful_processor") if forgets_all else ("processor",)
        self.processor = program("processor", *processor, "run")
        self.simulators = [
            program(f"simulator-{name}", "simulator", "--port", str(port), "--name", name, "--fee", fee)
            for (name, port), fee in zip(self.provider_ports.items(), ("0.05", "0.15"), strict=True)
        ]

    def start_broker(self) -> float:
        """Returns the seconds until it takes connections and has recovered its store."""
        return self.broker.ready_seconds(self._takes_connections, seconds_max=BROKER_SECONDS_MAX)

    def _takes_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.nats_port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill_all(self) -> None:
        for one in (self.gateway, self.processor, self.projector, *self.simulators, self.broker):
            one.kill()

    def ask(self, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of a gateway's answer; 0 when it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway_port, timeout=10)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()
